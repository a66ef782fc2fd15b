//! The side of a node that other nodes call: its port, and who is let in.
//!
//! Knows the node's parts as seams alone; which of them answers which call is [`answer`]'s. A part that the node does
//! not have is answered with UNIMPLEMENTED.

mod answer;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Instrument as _, debug, info_span, warn};

use super::message::{CLOCK_HEADER, NodeStatus, REQUEST_HEADER, STAMP_HEADER, TRACE_HEADER};
use crate::trace::{self, Expects, Traceparent};
use crate::{
    Bus, Callers, Copies, Credentials, Fence, Holders, Links, Media, Newcomer, Newcomers, NodeId, Orders,
    RequestId, Stamp, StampError, Terminals,
};

/// Connections at once: one of each other node, and room for those that are being replaced.
const CONNECTIONS_MAX: usize = 512;

/// Connections of one address that have made no good call yet: several nodes may stand behind one, and all come back
/// at once.
const NEWCOMERS_PER_ADDRESS_MAX: usize = 64;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may take from its handshake to its first good call: a node connects in order to call.
const PROVED_WITHIN: Duration = Duration::from_secs(5);

/// Calls under way at once on one connection: commands for terminals that are slow to answer, mostly.
const CALLS_PER_CONNECTION_MAX: u32 = 1_024;

/// A connection that has been silent for this long is asked whether it is still there, and given up when it does not
/// answer within [`ALIVE_WITHIN`].
pub(crate) const SILENT_FOR: Duration = Duration::from_secs(2);
/// See [`SILENT_FOR`].
pub(crate) const ALIVE_WITHIN: Duration = Duration::from_secs(3);

/// How long calls under way may go on when the node stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a node says when it is asked how it is.
pub type StatusFn = dyn Fn() -> NodeStatus + Send + Sync;

/// What a node has for others. Its own parts: a part that calls other nodes in turn could call in circles.
pub struct Served {
    /// How it is.
    pub status: Arc<StatusFn>,
    /// What knows old leaders.
    pub fence: Arc<Fence>,
    /// The terminals that it holds.
    pub terminals: Option<Arc<dyn Terminals>>,
    /// Which these are.
    pub links: Option<Arc<dyn Links>>,
    /// Which gateway holds which terminal.
    pub holders: Option<Arc<dyn Holders>>,
    /// What happens on it.
    pub events: Option<Arc<Bus>>,
    /// The streams that it runs.
    pub media: Option<Arc<dyn Media>>,
    /// The copies that it keeps.
    pub copies: Option<Arc<dyn Copies>>,
    /// What the leader may tell it to do.
    pub orders: Option<Arc<dyn Orders>>,
    /// Who is told which terminals are on their way to it.
    pub expects: Option<Arc<dyn Expects>>,
}

impl Served {
    /// A node that says how it is, and nothing else.
    pub fn nothing_but(status: Arc<StatusFn>, fence: Arc<Fence>) -> Self {
        Self {
            status,
            fence,
            terminals: None,
            links: None,
            holders: None,
            events: None,
            media: None,
            copies: None,
            orders: None,
            expects: None,
        }
    }
}

/// The port on which other nodes call.
pub struct NodeServer {
    listener: TcpListener,
    addr: SocketAddr,
    desk: Arc<Desk>,
}

/// What every connection shares.
struct Desk {
    credentials: Arc<Credentials>,
    callers: Mutex<Callers>,
    served: Served,
}

/// The other end of a connection.
struct Caller {
    certificates: Vec<CertificateDer<'static>>,
    /// Until it has made a good call.
    newcomer: Mutex<Option<Newcomer>>,
}

impl NodeServer {
    /// Takes the port; port 0 picks a free one.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn bind(listen: SocketAddr, credentials: Arc<Credentials>, served: Served) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let callers = Mutex::new(Callers::new(credentials.node().clone(), Utc::now()));
        Ok(Self { listener, addr, desk: Arc::new(Desk { credentials, callers, served }) })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until told to stop, and then a moment longer what was asked before.
    pub async fn serve(self, stop: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let newcomers = Arc::new(Newcomers::default());
        let connections = TaskTracker::new();
        loop {
            let (socket, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, mostly: waiting is the only thing that helps.
                        warn!("node port: cannot accept: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = stop.cancelled() => break,
            };
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                debug!("node port: connection of {peer} refused, there are {CONNECTIONS_MAX}");
                continue;
            };
            let Some(newcomer) = newcomers.enter(peer.ip(), NEWCOMERS_PER_ADDRESS_MAX) else {
                debug!("node port: connection of {peer} refused, its address has too many that are new");
                continue;
            };
            let (desk, stop) = (Arc::clone(&self.desk), stop.clone());
            connections.spawn(async move {
                if let Err(error) = desk.connection(socket, newcomer, stop).await {
                    debug!("node port: connection of {peer}: {error}");
                }
                drop(place);
            });
        }
        connections.close();
        connections.wait().await;
    }
}

impl Desk {
    async fn connection(
        self: Arc<Self>,
        socket: TcpStream,
        newcomer: Newcomer,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        socket.set_nodelay(true)?;
        let tls = TlsAcceptor::from(self.credentials.server_config());
        let socket = tokio::select! {
            accepted = timeout(HANDSHAKE_WITHIN, tls.accept(socket)) => accepted??,
            () = stop.cancelled() => return Ok(()),
        };
        let certificates = socket.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
        let caller = Arc::new(Caller { certificates, newcomer: Mutex::new(Some(newcomer)) });
        let called = Arc::clone(&caller);
        let service = service_fn(move |request: Request<Incoming>| {
            let (desk, caller) = (Arc::clone(&self), Arc::clone(&called));
            async move {
                let context = context_of(request.headers());
                Ok::<_, Infallible>(trace::within(context, desk.answer(&caller, request)).await)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .keep_alive_interval(SILENT_FOR)
            .keep_alive_timeout(ALIVE_WITHIN)
            .serve_connection(TokioIo::new(socket), service);
        let mut connection = std::pin::pin!(connection);
        let unproved = async {
            tokio::time::sleep(PROVED_WITHIN).await;
            if caller.newcomer.lock().is_none() {
                future::pending::<()>().await;
            }
        };
        tokio::select! {
            served = &mut connection => return served.map_err(Into::into),
            () = unproved => return Err("it makes no good call".into()),
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        // Streams have no end of their own.
        match timeout(FAREWELL, connection).await {
            Ok(served) => served.map_err(Into::into),
            Err(_) => Ok(()),
        }
    }

    /// Which part answers.
    async fn answer(&self, caller: &Caller, request: Request<Incoming>) -> Response<Body> {
        let from = match self.admit(&caller.certificates, request.headers()) {
            Ok(from) => from,
            Err(status) => {
                debug!("call {} refused: {}", request.uri().path(), status.message());
                return status.into_http();
            }
        };
        caller.newcomer.lock().take();
        let named = request.headers().get(REQUEST_HEADER).and_then(|value| value.to_str().ok()?.parse().ok());
        let id: RequestId = match named {
            Some(id) => id,
            None => return self.carry_out(&from, request).await,
        };
        let span = info_span!("call", request.id = %id, node.from = %from, path = request.uri().path());
        id.scope(self.carry_out(&from, request).instrument(span)).await
    }

    /// Who calls, once it is known that the call is to be answered.
    fn admit(&self, chain: &[CertificateDer<'static>], headers: &HeaderMap) -> Result<NodeId, Status> {
        let text = headers.get(STAMP_HEADER).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| Status::unauthenticated("stamp: the call has none"))?;
        let stamp: Stamp = text.parse().map_err(refusal)?;
        self.credentials.vouch(chain, &stamp.from).map_err(|error| {
            Status::permission_denied(format!("certificate: it does not speak for {}: {error}", stamp.from))
        })?;
        self.callers.lock().admit(&stamp, Utc::now()).map_err(refusal)?;
        Ok(stamp.from)
    }
}

/// Which trace a call is a part of. One that cannot be read is none: no call fails for it.
fn context_of(headers: &HeaderMap) -> Option<Traceparent> {
    headers.get(TRACE_HEADER)?.to_str().ok()?.parse().ok()
}

/// Tells the caller why, and what time it is here.
fn refusal(error: StampError) -> Status {
    let code = match &error {
        StampError::Dialect { .. } | StampError::Addressee(_) | StampError::Clock { .. } => {
            Code::FailedPrecondition
        }
        StampError::Malformed(_) => Code::Unauthenticated,
        StampError::Replayed { .. } => Code::AlreadyExists,
        StampError::Crowded => Code::PermissionDenied,
    };
    let mut status = Status::new(code, error.to_string());
    status.metadata_mut().insert(CLOCK_HEADER, Utc::now().timestamp_millis().into());
    status
}
