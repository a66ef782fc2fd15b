//! A small cluster in one process: an authority, nodes on free ports, and the View that they share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use cluster::{
    Advertise, Authority, Credentials, DIALECT, Epoch, Holders, Incarnation, Issued, Limits, Load, Member,
    NodeId, NodeInfo, NodeServer, NodeStatus, Peers, Role, Served, Stamp, StatusFn, Terminals, View,
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{Command, Reply, SendError, Sim, TerminalId, TerminalLink};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Far more than anything here takes; what does not end within it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn name(name: &str) -> NodeId {
    name.parse().expect("a name")
}

/// Waits until `is_so`.
pub(crate) async fn until(mut is_so: impl FnMut() -> bool) {
    timeout(SOON, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("soon");
}

/// An authority and the nodes that have its certificates.
pub(crate) struct Stage {
    pub(crate) authority: Authority,
    pub(crate) views: watch::Sender<Arc<View>>,
    folder: TempDir,
}

/// A node that others can call.
pub(crate) struct Node {
    pub(crate) info: NodeInfo,
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) peers: Arc<Peers>,
    served: Option<tokio::task::JoinHandle<()>>,
    stop: Option<DropGuard>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::make(&folder.path().join("ca"), Utc::now(), TimeDelta::days(10));
        Self { authority: authority.expect("an authority"), views: watch::Sender::default(), folder }
    }

    /// A certificate of the authority, valid from `from` for `valid`.
    pub(crate) fn issue(&self, node: &str, from: DateTime<Utc>, valid: TimeDelta) -> Issued {
        self.authority.issue(&name(node), from, valid).expect("a certificate")
    }

    /// The folder of `node`, with a new certificate in it.
    pub(crate) fn certify(&self, node: &str) -> PathBuf {
        let folder = self.folder.path().join(node);
        let issued = self.issue(node, Utc::now(), TimeDelta::days(1));
        self.authority.hand_over(&issued, &folder).expect("written");
        folder
    }

    /// A node that has what `parts` puts in, member of the View from now on.
    pub(crate) async fn node(&self, node: &str, roles: &[Role], parts: impl FnOnce(&mut Served)) -> Node {
        self.life(node, 1, "127.0.0.1:0", roles, parts).await
    }

    /// A certain life of a node at a certain address.
    pub(crate) async fn life(
        &self,
        node: &str,
        incarnation: u64,
        listen: &str,
        roles: &[Role],
        parts: impl FnOnce(&mut Served),
    ) -> Node {
        let incarnation = Incarnation(incarnation);
        let folder = self.certify(node);
        let credentials = Arc::new(Credentials::watch(name(node), &folder).expect("credentials"));
        let mut served = Served::nothing_but(status(incarnation), Arc::default());
        parts(&mut served);
        let listen = listen.parse().expect("an address");
        let server = NodeServer::bind(listen, Arc::clone(&credentials), served).await.expect("a port");
        let info = NodeInfo {
            node: name(node),
            incarnation,
            dialect: DIALECT,
            version: "0.0.0".to_owned(),
            roles: roles.to_vec(),
            seams: server.addr().to_string().parse::<Advertise>().expect("an address"),
            gateway: None,
            media: None,
            web: None,
            limits: Limits::default(),
            started_at: Utc::now(),
        };
        self.join(info.clone());
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.serve(stop.clone()));
        let peers = Peers::new(self.views.subscribe(), Arc::clone(&credentials), incarnation);
        Node { info, credentials, peers, served: Some(served), stop: Some(stop.drop_guard()) }
    }

    pub(crate) fn join(&self, info: NodeInfo) {
        self.views.send_modify(|view| {
            let view = Arc::make_mut(view);
            view.revision += 1;
            view.members.insert(info.node.clone(), Member { info, is_draining: false });
        });
    }

    pub(crate) fn leave(&self, node: &NodeId) {
        self.views.send_modify(|view| {
            let view = Arc::make_mut(view);
            view.revision += 1;
            view.members.remove(node);
        });
    }
}

impl Node {
    pub(crate) fn id(&self) -> &NodeId {
        &self.info.node
    }

    /// Where it is called.
    pub(crate) fn addr(&self) -> String {
        self.info.seams.to_string()
    }

    /// Ends its server and its connections.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            timeout(SOON, served).await.expect("soon").expect("ended");
        }
    }
}

/// How a node is that does nothing.
pub(crate) fn status(incarnation: Incarnation) -> Arc<StatusFn> {
    Arc::new(move || NodeStatus {
        incarnation,
        load: Load { terminals: 7, cpu_permille: 123, ..Load::default() },
        is_draining: false,
        now: Utc::now(),
        revision: 5,
        epoch: Epoch(3),
        copies: Vec::new(),
    })
}

/// A gateway with one answer for each terminal that it holds.
#[derive(Default)]
pub(crate) struct Gateway {
    pub(crate) answers: HashMap<TerminalId, Result<Reply, SendError>>,
    pub(crate) told: Mutex<Vec<(TerminalId, Option<Command>)>>,
}

impl Gateway {
    pub(crate) fn holding(answers: impl IntoIterator<Item = (i64, Result<Reply, SendError>)>) -> Arc<Self> {
        let answers = answers.into_iter().map(|(terminal, answer)| (TerminalId(terminal), answer)).collect();
        Arc::new(Self { answers, told: Mutex::default() })
    }
}

#[async_trait]
impl Terminals for Gateway {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        self.told.lock().push((terminal, None));
        let held = self.answers.get(&terminal).ok_or(SendError::NotConnected(terminal))?;
        held.clone().map(|_| {
            let sim: Sim = "013912345678".parse().expect("a SIM");
            TerminalLink { sim, sim_bytes: 6, av: None }
        })
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        self.told.lock().push((terminal, Some(command)));
        self.answers.get(&terminal).cloned().unwrap_or(Err(SendError::NotConnected(terminal)))
    }

    async fn disconnect(&self, terminal: TerminalId) {
        self.told.lock().push((terminal, None));
    }
}

/// What a node believes of where terminals are.
#[derive(Default)]
pub(crate) struct Directory {
    pub(crate) holders: Mutex<HashMap<TerminalId, NodeId>>,
}

impl Directory {
    pub(crate) fn of<'a>(holders: impl IntoIterator<Item = (i64, &'a str)>) -> Arc<Self> {
        let holders = holders.into_iter().map(|(terminal, node)| (TerminalId(terminal), name(node)));
        Arc::new(Self { holders: Mutex::new(holders.collect()) })
    }
}

impl Holders for Directory {
    fn holder_of(&self, terminal: TerminalId) -> Option<NodeId> {
        self.holders.lock().get(&terminal).cloned()
    }

    fn forget(&self, terminal: TerminalId, node: &NodeId) {
        let mut holders = self.holders.lock();
        if holders.get(&terminal) == Some(node) {
            holders.remove(&terminal);
        }
    }
}

/// A process that knows how nodes talk and says what it likes.
pub(crate) struct Impostor {
    sender: SendRequest<Full<Bytes>>,
}

impl Impostor {
    /// Connects to the node `to` at `addr`, showing `shown`.
    pub(crate) async fn connect(
        stage: &Stage,
        addr: &str,
        to: &NodeId,
        shown: Option<&Issued>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(stage.authority.pem().as_bytes())?)?;
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match shown {
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes())?];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes())?)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(addr).await?;
        let socket = TlsConnector::from(Arc::new(config)).connect(cluster::dns_name(to), socket).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Whether the node has ended the connection.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks for the status; the gRPC code and message.
    pub(crate) async fn ask(
        &mut self,
        stamp: Option<&str>,
    ) -> Result<(i32, String), Box<dyn std::error::Error>> {
        self.call("status", stamp, b"\0\0\0\0\x04null").await
    }

    /// Makes a call with the body as it is; the gRPC code and message.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        stamp: Option<&str>,
        body: &'static [u8],
    ) -> Result<(i32, String), Box<dyn std::error::Error>> {
        let mut request = http::Request::post(format!("https://node.motorcade/motorcade.Node/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(stamp) = stamp {
            request = request.header(cluster::STAMP_HEADER, stamp);
        }
        let request = request.body(Full::new(Bytes::from_static(body)))?;
        let reply = timeout(SOON, self.sender.send_request(request)).await??;
        let head = reply.headers().clone();
        let trailers = timeout(SOON, reply.into_body().collect()).await??.trailers().cloned();
        let field = |field: &str| {
            let trailer = trailers.as_ref().and_then(|trailers| trailers.get(field));
            let value = head.get(field).or(trailer).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok((field("grpc-status").parse()?, field("grpc-message")))
    }
}

/// The stamp of a call that `from` makes now.
pub(crate) fn stamp(from: &str, to: &NodeId, number: u64) -> Stamp {
    Stamp {
        from: name(from),
        to: to.clone(),
        incarnation: Incarnation(77),
        number,
        at_ms: Utc::now().timestamp_millis(),
    }
}
