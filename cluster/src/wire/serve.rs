//! The side of a node that other nodes call: its port, who is let in, and which part of it answers which call.
//!
//! Knows the parts as seams alone. A part that the node does not have is answered with UNIMPLEMENTED.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures_util::future::{self, MapOk, Ready};
use futures_util::{Stream, StreamExt as _, TryFutureExt as _, stream};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::TerminalId;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Code, Status};
use tracing::{Instrument as _, debug, info_span, warn};

use super::codec::{Json, Parcel, Wire};
use super::message::{
    Adopt, AskLink, AskStatus, BatchHead, CLOCK_HEADER, Call, Disconnect, EVENTS_PER_MESSAGE, EventTold,
    Expect, FollowEvents, FollowLinks, GatewayOf, GiveOrder, Keep, LINKS_PER_MESSAGE, LinksTold, NodeStatus,
    REQUEST_HEADER, STAMP_HEADER, SendCommand, Snapshot, Stored, StoredUpTo, TRACE_HEADER,
};
use crate::trace::{self, Expects, Traceparent};
use crate::{
    Batch, Bus, Callers, Copies, Credentials, Epoch, Fence, Holders, Lagged, LinkChanges, LinkStamp, Links,
    Media, Newcomer, Newcomers, NodeId, OrderError, Orders, RequestId, Stamp, StampError, Terminals,
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

/// Beyond the time in which the caller gives up; ends calls whose caller cannot even be told.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);

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

    /// Has the part that is meant answer.
    async fn carry_out(&self, from: &NodeId, request: Request<Incoming>) -> Response<Body> {
        let served = &self.served;
        match request.uri().path() {
            AskStatus::PATH => {
                unary::<AskStatus, _, _>(request, |Json(())| async move { Ok(Json((served.status)())) }).await
            }
            AskLink::PATH => {
                unary::<AskLink, _, _>(request, |Json(terminal)| async move {
                    Ok(Json(has(&served.terminals, "terminals")?.link(terminal).await))
                })
                .await
            }
            SendCommand::PATH => {
                unary::<SendCommand, _, _>(request, |Json((terminal, command))| async move {
                    Ok(Json(has(&served.terminals, "terminals")?.send(terminal, command).await))
                })
                .await
            }
            Disconnect::PATH => {
                unary::<Disconnect, _, _>(request, |Json(terminal)| async move {
                    has(&served.terminals, "terminals")?.disconnect(terminal).await;
                    Ok(Json(()))
                })
                .await
            }
            GatewayOf::PATH => {
                unary::<GatewayOf, _, _>(request, |Json(terminal)| async move {
                    Ok(Json(has(&served.holders, "directory of terminals")?.holder_of(terminal)))
                })
                .await
            }
            Expect::PATH => {
                unary::<Expect, _, _>(request, |Json(terminal)| async move {
                    let expects = has(&served.expects, "gateway that traces")?;
                    if let Some(context) = trace::current() {
                        expects.expect(terminal, context);
                    }
                    Ok(Json(()))
                })
                .await
            }
            Snapshot::PATH => {
                unary::<Snapshot, _, _>(request, |Json(stream)| async move {
                    let picture = has(&served.media, "media server")?.snapshot(stream).await;
                    Ok(match picture {
                        Ok(jpeg) => Parcel { head: Ok(()), bytes: jpeg.into() },
                        Err(error) => Parcel { head: Err(error), bytes: bytes::Bytes::new() },
                    })
                })
                .await
            }
            GiveOrder::PATH => {
                unary::<GiveOrder, _, _>(request, |Json((epoch, order))| async move {
                    let orders = has(&served.orders, "part that takes orders")?;
                    Ok(Json(match self.let_pass(from, epoch) {
                        Ok(()) => orders.order(epoch, order).await,
                        Err(error) => Err(error),
                    }))
                })
                .await
            }
            Keep::PATH => {
                unary::<Keep, _, _>(request, |Parcel { head, bytes }| async move {
                    let BatchHead { origin, incarnation, number, follows } = head;
                    is_of(from, &origin)?;
                    let batch = Batch { origin, incarnation, number, follows, records: bytes };
                    Ok(Json(has(&served.copies, "room for copies")?.keep(batch).await))
                })
                .await
            }
            Stored::PATH => {
                unary::<Stored, _, _>(request, |Json(StoredUpTo { origin, incarnation, upto })| async move {
                    is_of(from, &origin)?;
                    Ok(Json(has(&served.copies, "room for copies")?.stored(&origin, incarnation, upto).await))
                })
                .await
            }
            Adopt::PATH => {
                unary::<Adopt, _, _>(request, |Json((epoch, origin))| async move {
                    let copies = has(&served.copies, "room for copies")?;
                    // Of its own copies a node disposes itself, whoever leads.
                    let may = if *from == origin { Ok(()) } else { self.let_pass(from, epoch) };
                    Ok(Json(match may {
                        Ok(()) => Ok(copies.adopt(&origin).await),
                        Err(error) => Err(error),
                    }))
                })
                .await
            }
            FollowLinks::PATH => {
                streaming::<FollowLinks, _, _>(request, |Json(())| {
                    let (links, changes) = has(&served.links, "links of terminals")?.follow();
                    Ok(links_told(links, changes))
                })
                .await
            }
            FollowEvents::PATH => {
                streaming::<FollowEvents, _, _>(request, |Json(())| {
                    Ok(events_told(has(&served.events, "events")?))
                })
                .await
            }
            path => Status::unimplemented(format!("no such call: {path}")).into_http(),
        }
    }

    /// Whether what `from` wants as the leader of `epoch` is to be done.
    fn let_pass(&self, from: &NodeId, epoch: Epoch) -> Result<(), OrderError> {
        self.served.fence.admit(epoch).map_err(|old| {
            warn!("order of {from} refused: {old}");
            OrderError::OldEpoch { seen: old.seen }
        })
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

fn has<'a, T: ?Sized>(part: &'a Option<Arc<T>>, what: &str) -> Result<&'a T, Status> {
    part.as_deref().ok_or_else(|| lacks(what))
}

fn lacks(what: &str) -> Status {
    Status::unimplemented(format!("this node has no {what}"))
}

/// A node asks for its own records alone.
fn is_of(from: &NodeId, origin: &NodeId) -> Result<(), Status> {
    if from == origin {
        return Ok(());
    }
    Err(Status::permission_denied(format!("{from} asked for the records of {origin}")))
}

fn links_told(
    links: Vec<(TerminalId, LinkStamp)>,
    changes: LinkChanges,
) -> impl Stream<Item = Result<Json<LinksTold>, Status>> + Send + 'static {
    let mut links = links.into_iter();
    let parts = std::iter::from_fn(move || {
        let part: Vec<_> = links.by_ref().take(LINKS_PER_MESSAGE).collect();
        (!part.is_empty()).then_some(LinksTold::Some(part))
    });
    stream::iter(parts)
        .chain(stream::iter([LinksTold::All]))
        .chain(changes.ready_chunks(LINKS_PER_MESSAGE).map(LinksTold::Changes))
        .map(|told| Ok(Json(told)))
}

fn events_told(
    bus: &Bus,
) -> impl Stream<Item = Result<Json<Vec<EventTold>>, Status>> + Send + 'static + use<> {
    bus.own().ready_chunks(EVENTS_PER_MESSAGE).map(|events| {
        let told = events.into_iter().map(|event| match event {
            Ok(event) => EventTold::Event(event),
            Err(Lagged(missed)) => EventTold::Lagged(missed),
        });
        Ok(Json(told.collect()))
    })
}

/// Reads the request, has it answered, writes the reply; within a bounded time.
async fn unary<C, F, A>(request: Request<Incoming>, answer: F) -> Response<Body>
where
    C: Call,
    F: FnMut(C::Request) -> A,
    A: Future<Output = Result<C::Reply, Status>>,
{
    let mut grpc = Grpc::new(Wire::<C::Reply, C::Request>::default())
        .max_decoding_message_size(C::REQUEST_BYTES_MAX)
        .max_encoding_message_size(C::REPLY_BYTES_MAX);
    timeout(C::WITHIN + ANSWER_MARGIN, grpc.unary(Answer(answer), request))
        .await
        .unwrap_or_else(|_| Status::deadline_exceeded(format!("{} took too long", C::PATH)).into_http())
}

/// Reads the request and writes what follows, as it comes.
async fn streaming<C, F, S>(request: Request<Incoming>, begin: F) -> Response<Body>
where
    C: Call,
    F: FnMut(C::Request) -> Result<S, Status>,
    S: Stream<Item = Result<C::Reply, Status>> + Send + 'static,
{
    let mut grpc = Grpc::new(Wire::<C::Reply, C::Request>::default())
        .max_decoding_message_size(C::REQUEST_BYTES_MAX)
        .max_encoding_message_size(C::REPLY_BYTES_MAX);
    timeout(C::WITHIN + ANSWER_MARGIN, grpc.server_streaming(Begin(begin), request))
        .await
        .unwrap_or_else(|_| Status::deadline_exceeded(format!("{} took too long", C::PATH)).into_http())
}

/// A function as tonic's server wants it.
struct Answer<F>(F);

impl<F, A, Q, R> UnaryService<Q> for Answer<F>
where
    F: FnMut(Q) -> A,
    A: Future<Output = Result<R, Status>>,
{
    type Response = R;
    type Future = MapOk<A, fn(R) -> tonic::Response<R>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        (self.0)(request.into_inner()).map_ok(tonic::Response::new)
    }
}

/// A function that begins a stream, as tonic's server wants it.
struct Begin<F>(F);

impl<F, Q, S, R> ServerStreamingService<Q> for Begin<F>
where
    F: FnMut(Q) -> Result<S, Status>,
    S: Stream<Item = Result<R, Status>>,
{
    type Response = R;
    type ResponseStream = S;
    type Future = Ready<Result<tonic::Response<S>, Status>>;

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        future::ready((self.0)(request.into_inner()).map(tonic::Response::new))
    }
}
