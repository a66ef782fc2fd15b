//! One other node as this one calls it: a connection that is made when it is needed, kept, and made anew when it broke.
//!
//! Says for each call that failed whether the node may have carried it out. Knows not what calls are for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::Utc;
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use model::{Command, Reply, SendError, StreamKey, TerminalId, TerminalLink};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::Streaming;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Status};
use tower_service::Service;
use tracing::debug;

use crate::tls::{Pass, dns_name};
use crate::wire::codec::{Json, Parcel, Wire};
use crate::wire::message::{
    Adopt, AskLink, AskStatus, BatchHead, CLOCK_HEADER, Call, Disconnect, Expect, GatewayOf, GiveOrder, Keep,
    NodeStatus, REQUEST_HEADER, STAMP_HEADER, SendCommand, Snapshot, Stored, StoredUpTo, TRACE_HEADER,
};
use crate::wire::{ALIVE_WITHIN, SILENT_FOR};
use crate::{
    Advertise, Batch, CopyError, Credentials, Epoch, Incarnation, MediaError, NodeId, Order, OrderError,
    RequestId, Stamper, trace,
};

/// How long a connection may take: name, TCP and TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Why another node did not answer a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody of that name is in the View, or one that speaks another dialect. Not carried out.
    #[error("{0} is not in the cluster")]
    NotMember(NodeId),
    /// There is no connection. Not carried out.
    #[error("{node} cannot be reached")]
    Unreachable {
        /// Who was called.
        node: NodeId,
        /// What failed.
        #[source]
        source: Arc<ConnectError>,
    },
    /// The node does not take the call. Not carried out.
    #[error("{node} refused the call: {why}")]
    Refused {
        /// Who was called.
        node: NodeId,
        /// What it said.
        why: String,
        /// Its clock, Unix milliseconds, where the call's stamp was not to its liking.
        clock_ms: Option<i64>,
    },
    /// It did not answer in time. Perhaps carried out.
    #[error("{0} did not answer in time")]
    Timeout(NodeId),
    /// The connection broke, or what came back was no answer. Perhaps carried out.
    #[error("{node} did not answer: {why}")]
    Lost {
        /// Who was called.
        node: NodeId,
        /// What happened.
        why: String,
    },
}

impl CallError {
    /// Whether the node may have carried out what it was asked.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Lost { .. })
    }
}

/// Why there is no connection to a node.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The node does not say on which host it is called.
    #[error("its address has no host")]
    Address,
    /// No TCP connection, or no TLS on it: its certificate may be another node's.
    #[error("connection refused")]
    Tls(#[source] io::Error),
    /// The connection broke before the call was sent.
    #[error("connection broken")]
    Broken(#[source] hyper::Error),
    /// It took too long.
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    Slow,
}

/// Another node, to be called.
pub struct Peer {
    node: NodeId,
    address: Advertise,
    credentials: Arc<Credentials>,
    stamper: Arc<Stamper>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    open: Option<Open>,
    /// When the last attempt failed, if it did.
    failed: Option<(Instant, Arc<ConnectError>)>,
}

struct Open {
    sender: SendRequest<Body>,
    /// What this node showed; a connection with a certificate that was renewed is made anew.
    shown: Arc<Pass>,
}

impl Peer {
    /// `node`, at `address`; nothing is done yet.
    pub fn new(
        node: NodeId,
        address: Advertise,
        credentials: Arc<Credentials>,
        stamper: Arc<Stamper>,
    ) -> Self {
        Self { node, address, credentials, stamper, line: Mutex::default() }
    }

    /// Who it is.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// How it is.
    pub async fn status(&self) -> Result<NodeStatus, CallError> {
        Ok(self.call::<AskStatus>(Json(())).await?.0)
    }

    /// What it knows of a terminal that it holds: [`Terminals::link`](crate::Terminals::link).
    pub async fn link(&self, terminal: TerminalId) -> Result<Result<TerminalLink, SendError>, CallError> {
        Ok(self.call::<AskLink>(Json(terminal)).await?.0)
    }

    /// A command to a terminal that it holds: [`Terminals::send`](crate::Terminals::send).
    pub async fn send(
        &self,
        terminal: TerminalId,
        command: Command,
    ) -> Result<Result<Reply, SendError>, CallError> {
        Ok(self.call::<SendCommand>(Json((terminal, command))).await?.0)
    }

    /// Closes a terminal's link: [`Terminals::disconnect`](crate::Terminals::disconnect).
    pub async fn disconnect(&self, terminal: TerminalId) -> Result<(), CallError> {
        self.call::<Disconnect>(Json(terminal)).await.map(|Json(())| ())
    }

    /// The gateway that holds `terminal`, as far as it knows.
    pub async fn gateway_of(&self, terminal: TerminalId) -> Result<Option<NodeId>, CallError> {
        Ok(self.call::<GatewayOf>(Json(terminal)).await?.0)
    }

    /// Tells it that `terminal` is on its way to it, by the step that this is done [within](trace::within):
    /// [`Expects::expect`](trace::Expects::expect).
    pub async fn expect(&self, terminal: TerminalId) -> Result<(), CallError> {
        self.call::<Expect>(Json(terminal)).await.map(|Json(())| ())
    }

    /// A picture of a stream that it runs: [`Media::snapshot`](crate::Media::snapshot).
    pub async fn snapshot(&self, stream: StreamKey) -> Result<Result<Vec<u8>, MediaError>, CallError> {
        let Parcel { head, bytes } = self.call::<Snapshot>(Json(stream)).await?;
        Ok(head.map(|()| bytes.into()))
    }

    /// An order of this node as the leader of `epoch`.
    pub async fn order(&self, epoch: Epoch, order: Order) -> Result<Result<(), OrderError>, CallError> {
        Ok(self.call::<GiveOrder>(Json((epoch, order))).await?.0)
    }

    /// Has it keep a batch of this node's: [`Copies::keep`](crate::Copies::keep). Only an `Ok(Ok(()))` says that it is on
    /// its disk.
    pub async fn keep(&self, batch: Batch) -> Result<Result<(), CopyError>, CallError> {
        let Batch { origin, incarnation, number, follows, records } = batch;
        let head = BatchHead { origin, incarnation, number, follows };
        Ok(self.call::<Keep>(Parcel { head, bytes: records }).await?.0)
    }

    /// Tells it what of this node's batches is in the database: [`Copies::stored`](crate::Copies::stored).
    pub async fn stored(
        &self,
        origin: NodeId,
        incarnation: Incarnation,
        upto: u64,
    ) -> Result<Result<(), CopyError>, CallError> {
        Ok(self.call::<Stored>(Json(StoredUpTo { origin, incarnation, upto })).await?.0)
    }

    /// Has it store what it keeps of `origin`, on the word of this node as the leader of `epoch`, or as the origin, where
    /// no epoch is looked at: [`Copies::adopt`](crate::Copies::adopt).
    pub async fn adopt(
        &self,
        epoch: Epoch,
        origin: NodeId,
    ) -> Result<Result<Result<u64, CopyError>, OrderError>, CallError> {
        Ok(self.call::<Adopt>(Json((epoch, origin))).await?.0)
    }

    async fn call<C: Call>(&self, request: C::Request) -> Result<C::Reply, CallError> {
        let (mut grpc, unsent) = self.grpc::<C>().await?;
        let request = self.stamped(request);
        let codec = Wire::<C::Request, C::Reply>::default();
        match timeout(C::WITHIN, grpc.unary(request, PathAndQuery::from_static(C::PATH), codec)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status, &unsent)),
            Err(_) => Err(CallError::Timeout(self.node.clone())),
        }
    }

    /// A call that is answered by a stream; returns when it has begun.
    pub(super) async fn follow<C: Call>(
        &self,
        request: C::Request,
    ) -> Result<Streaming<C::Reply>, CallError> {
        let (mut grpc, unsent) = self.grpc::<C>().await?;
        let request = self.stamped(request);
        let codec = Wire::<C::Request, C::Reply>::default();
        let path = PathAndQuery::from_static(C::PATH);
        match timeout(C::WITHIN, grpc.server_streaming(request, path, codec)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(self.failed(&status, &unsent)),
            Err(_) => Err(CallError::Timeout(self.node.clone())),
        }
    }

    async fn grpc<C: Call>(&self) -> Result<(Grpc<OneCall>, Arc<Unsent>), CallError> {
        let sender = self
            .sender()
            .await
            .map_err(|source| CallError::Unreachable { node: self.node.clone(), source })?;
        let unsent = Arc::new(Unsent::default());
        let call = OneCall { sender, unsent: Arc::clone(&unsent) };
        let grpc = Grpc::with_origin(call, self.origin())
            .max_decoding_message_size(C::REPLY_BYTES_MAX)
            .max_encoding_message_size(C::REQUEST_BYTES_MAX);
        Ok((grpc, unsent))
    }

    fn origin(&self) -> Uri {
        let name = dns_name(&self.node);
        Uri::builder()
            .scheme("https")
            .authority(&*name.to_str())
            .path_and_query("/")
            .build()
            .expect("a DNS name is an authority")
    }

    fn stamped<Q>(&self, request: Q) -> tonic::Request<Q> {
        let stamp = self.stamper.stamp(&self.node, Utc::now()).to_string();
        let mut request = tonic::Request::new(request);
        let stamp = AsciiMetadataValue::try_from(stamp).expect("names and numbers are ASCII");
        request.metadata_mut().insert(STAMP_HEADER, stamp);
        if let Some(id) = RequestId::current() {
            let id = AsciiMetadataValue::try_from(id.to_string()).expect("letters, digits and -");
            request.metadata_mut().insert(REQUEST_HEADER, id);
        }
        if let Some(context) = trace::current() {
            let context = AsciiMetadataValue::try_from(context.to_string()).expect("digits are ASCII");
            request.metadata_mut().insert(TRACE_HEADER, context);
        }
        request
    }

    fn failed(&self, status: &Status, unsent: &Unsent) -> CallError {
        let node = self.node.clone();
        if let Some(error) = unsent.0.lock().take() {
            return CallError::Unreachable { node, source: Arc::new(ConnectError::Broken(error)) };
        }
        let why = status.message().to_owned();
        match status.code() {
            // What a node says before it looks at what it is asked to do; see `wire::serve`.
            Code::Unimplemented
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated => {
                let clock = status.metadata().get(CLOCK_HEADER);
                let clock_ms = clock.and_then(|clock| clock.to_str().ok()?.parse().ok());
                CallError::Refused { node, why, clock_ms }
            }
            code => CallError::Lost { node, why: format!("{code:?}: {why}") },
        }
    }

    /// The connection; made anew where there is none.
    async fn sender(&self) -> Result<SendRequest<Body>, Arc<ConnectError>> {
        let asked = Instant::now();
        let mut line = self.line.lock().await;
        let pass = self.credentials.pass();
        if let Some(open) = &line.open
            && !open.sender.is_closed()
            && Arc::ptr_eq(&open.shown, &pass)
        {
            return Ok(open.sender.clone());
        }
        // Whoever waited for an attempt that failed has waited long enough.
        if let Some((at, error)) = &line.failed
            && *at >= asked
        {
            return Err(Arc::clone(error));
        }
        line.open = None;
        match timeout(CONNECT_WITHIN, self.connect(&pass)).await.unwrap_or(Err(ConnectError::Slow)) {
            Ok(sender) => {
                *line = Line { open: Some(Open { sender: sender.clone(), shown: pass }), failed: None };
                Ok(sender)
            }
            Err(error) => {
                let error = Arc::new(error);
                line.failed = Some((Instant::now(), Arc::clone(&error)));
                Err(error)
            }
        }
    }

    async fn connect(&self, pass: &Pass) -> Result<SendRequest<Body>, ConnectError> {
        let host = self.address.host.as_deref().ok_or(ConnectError::Address)?;
        let socket = TcpStream::connect((host, self.address.port)).await.map_err(ConnectError::Tls)?;
        socket.set_nodelay(true).map_err(ConnectError::Tls)?;
        let tls = TlsConnector::from(pass.client());
        let socket = tls.connect(dns_name(&self.node), socket).await.map_err(ConnectError::Tls)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(SILENT_FOR)
            .keep_alive_timeout(ALIVE_WITHIN)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(ConnectError::Broken)?;
        let node = self.node.clone();
        // Ends when the connection breaks, or when it is not used any more and its last call is over.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("connection to {node} ended: {error}");
            }
        });
        Ok(sender)
    }
}

/// What kept a call from being sent at all, where something did.
#[derive(Default)]
struct Unsent(parking_lot::Mutex<Option<hyper::Error>>);

/// A connection as tonic's client wants it, for one call.
struct OneCall {
    sender: SendRequest<Body>,
    unsent: Arc<Unsent>,
}

impl Service<Request<Body>> for OneCall {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sending = self.sender.try_send_request(request);
        let unsent = Arc::clone(&self.unsent);
        Box::pin(async move {
            sending.await.map_err(|mut failed| {
                let status = Status::unavailable(failed.error().to_string());
                // Given back: not a byte of it left.
                if failed.take_message().is_some() {
                    *unsent.0.lock() = Some(failed.into_error());
                }
                status
            })
        })
    }
}
