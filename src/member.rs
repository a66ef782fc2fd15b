//! This node as a member of a cluster: its certificate, its name among the others, the seams as they look from here.
//!
//! Knows how a node is wired to the others; what any role does with that is the role's. A node without `etcd.endpoints`
//! is alone and has none of this.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use chrono::Utc;
use cluster::etcd::{Agreement, EtcdSettings, Membership, Standing};
use cluster::proxy::{ClusterSecret, Unsealer};
use cluster::trace::{Expects, Heralds, Trace};
use cluster::{
    Advertise, Bus, ClusterReport, CopyMates, Credentials, DrainError, Fence, FromView, Incarnation, Limits,
    Load, Lookout, Measurement, Media, NodeId, NodeInfo, NodeServer, NodeStatus, Nodes, Peers, RemoteEvents,
    RemoteHeralds, RemoteLinks, RemoteMedia, RemoteTerminals, Role, Served, SightingsSeen, Terminals, View,
    Views,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::config::Config;
use crate::holding::Holding;
use crate::metrics::ClusterNumbers;

/// A node of a cluster: what its roles need before they start. Lives as long as they do.
pub(crate) struct Member {
    node: NodeId,
    incarnation: Incarnation,
    credentials: Arc<Credentials>,
    etcd: EtcdSettings,
    /// Where the others call it.
    listen: SocketAddr,
    /// The host at which others reach this node.
    pub(crate) host: String,
    advertise: Option<Advertise>,
    views: watch::Sender<Arc<View>>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) holding: Arc<Holding>,
    mates: CopyMates,
    fence: Arc<Fence>,
}

/// What this node runs, as the others are told and may use it.
pub(crate) struct Runs {
    pub(crate) roles: Vec<Role>,
    pub(crate) bus: Arc<Bus>,
    /// Those of its gateway; also told where it has none, who is not to be let in any more.
    pub(crate) terminals: Arc<dyn Terminals>,
    pub(crate) gateway: Option<GatewayPart>,
    pub(crate) media: Option<MediaPart>,
    /// Where people and programs dial it, if it has the API.
    pub(crate) web: Option<cluster::WebServer>,
    /// What it carries, as it last looked.
    pub(crate) measured: watch::Receiver<Measurement>,
}

/// The node's gateway.
pub(crate) struct GatewayPart {
    pub(crate) dial: Advertise,
    pub(crate) limit: u32,
    pub(crate) links: Arc<dyn cluster::Links>,
    pub(crate) copies: Option<Arc<dyn cluster::Copies>>,
    pub(crate) control: gateway::Control,
}

/// The node's media server.
pub(crate) struct MediaPart {
    pub(crate) dial: cluster::MediaServer,
    pub(crate) server: Arc<media::MediaServer>,
}

/// A node in its cluster.
pub(crate) struct Joined {
    node: NodeId,
    addr: SocketAddr,
    pub(crate) membership: Membership,
    pub(crate) lookout: Lookout,
    stop: CancellationToken,
    server: JoinHandle<()>,
    _tasks: Vec<AbortOnDropHandle<()>>,
    links: RemoteLinks,
    _events: Option<RemoteEvents>,
}

impl Member {
    /// From the configuration; None where this node is alone. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A cluster without the node's name or certificate.
    pub(crate) fn prepare(config: &Config, trace: &Trace) -> Result<Option<Self>> {
        if config.etcd.endpoints.is_empty() {
            return Ok(None);
        }
        let settings = &config.cluster;
        let node = settings.node.clone().context("a node of a cluster needs its name: cluster.node")?;
        let certs =
            settings.certs.as_deref().context("a node of a cluster needs its certificate: cluster.certs")?;
        let listener = settings.listener();
        let advertise = listener.advertise.clone();
        let host = match advertise.as_ref().and_then(|advertise| advertise.host.clone()) {
            Some(host) => host,
            None => {
                let ip = listener.listen.ip();
                ensure!(!ip.is_unspecified(), "others have to know how to dial this node: cluster.advertise");
                ip.to_string()
            }
        };
        let credentials = Arc::new(Credentials::watch(node.clone(), certs)?);
        let incarnation = Incarnation(rand::random());
        let (views, seen) = watch::channel(Arc::default());
        let peers = Peers::new(seen, Arc::clone(&credentials), incarnation);
        let mates = CopyMates::follow(Arc::clone(&peers));
        Ok(Some(Self {
            holding: Arc::new(Holding::new(node.clone(), trace.clone())),
            node,
            incarnation,
            credentials,
            etcd: config.etcd.clone(),
            listen: listener.listen,
            host,
            advertise,
            views,
            peers,
            mates,
            fence: Arc::default(),
        }))
    }

    /// Its name.
    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    /// An address of this node as others dial it: as configured, with the node's host where none is.
    pub(crate) fn dial(&self, advertise: Option<&Advertise>, bound: SocketAddr) -> Advertise {
        let port = advertise.map_or(bound.port(), |advertise| advertise.port);
        let host = advertise.and_then(|advertise| advertise.host.clone());
        Advertise { host: Some(host.unwrap_or_else(|| self.host.clone())), port }
    }

    /// What makes a gateway one of this cluster's.
    pub(crate) fn gateway(&self, secret: ClusterSecret) -> gateway::Membership {
        gateway::Membership {
            node: self.node.clone(),
            incarnation: self.incarnation,
            peers: self.mates.peers(),
            splices: Arc::new(Seals(Unsealer::new(secret))),
        }
    }

    /// The terminals of the whole cluster.
    pub(crate) fn terminals(&self, own: Arc<dyn Terminals>) -> Arc<dyn Terminals> {
        let holders = Arc::clone(&self.holding) as Arc<dyn cluster::Holders>;
        Arc::new(RemoteTerminals::new(Some(own), holders, Arc::clone(&self.peers)))
    }

    /// What tells gateways of the cluster who is on the way to them; `own` is this node's.
    pub(crate) fn heralds(&self, own: Option<Arc<dyn Expects>>) -> Arc<dyn Heralds> {
        Arc::new(RemoteHeralds::new(own, Arc::clone(&self.peers)))
    }

    /// The media servers of the whole cluster.
    pub(crate) fn media(&self, own: Option<Arc<dyn Media>>) -> Arc<dyn Media> {
        Arc::new(RemoteMedia::new(own, Arc::clone(&self.peers)))
    }

    /// Serves the others, joins, and begins to follow them. Returns when this node is a member, or while etcd is away.
    ///
    /// # Errors
    /// A port that is taken, settings that cannot work, a cluster that does not take this node.
    pub(crate) async fn join(&self, runs: Runs) -> Result<Joined> {
        let Self {
            node,
            incarnation,
            credentials,
            etcd,
            listen,
            advertise,
            views,
            peers,
            holding,
            fence,
            ..
        } = &self;
        let status = self.status(&runs);
        let served = Served {
            status: Arc::clone(&status),
            fence: Arc::clone(fence),
            terminals: Some(Arc::clone(&runs.terminals)),
            links: runs.gateway.as_ref().map(|part| Arc::clone(&part.links)),
            holders: Some(Arc::clone(holding) as Arc<dyn cluster::Holders>),
            events: Some(Arc::clone(&runs.bus)),
            media: runs.media.as_ref().map(|part| Arc::clone(&part.server) as Arc<dyn Media>),
            copies: runs.gateway.as_ref().and_then(|part| part.copies.clone()),
            orders: runs
                .gateway
                .as_ref()
                .map(|part| Arc::new(part.control.clone()) as Arc<dyn cluster::Orders>),
            expects: runs.gateway.as_ref().map(|part| Arc::new(part.control.clone()) as Arc<dyn Expects>),
        };
        let server = NodeServer::bind(*listen, Arc::clone(credentials), served)
            .await
            .with_context(|| format!("serve other nodes on {listen}"))?;
        let addr = server.addr();
        let info = NodeInfo {
            node: node.clone(),
            incarnation: *incarnation,
            dialect: cluster::DIALECT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: runs.roles.clone(),
            seams: self.dial(advertise.as_ref(), addr),
            gateway: runs.gateway.as_ref().map(|part| part.dial.clone()),
            media: runs.media.as_ref().map(|part| part.dial.clone()),
            web: runs.web.clone(),
            limits: Limits { terminals: runs.gateway.as_ref().map_or(0, |part| part.limit) },
            started_at: Utc::now(),
        };
        let membership = Membership::start(etcd, &info, Arc::clone(fence)).context("join the cluster")?;
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.serve(stop.clone()));

        let mut tasks = vec![spawn(forward(membership.views(), views.clone()))];
        if let Some(part) = &runs.gateway {
            let control = part.control.clone();
            holding.closes(move |terminal, stamp| _ = control.close_stale(terminal, stamp));
            let links = Arc::clone(&part.links);
            tasks.push(spawn(Arc::clone(holding).follow_own(links)));
            tasks.push(spawn(drain_as_told(views.subscribe(), node.clone(), part.control.clone())));
            tasks.push(spawn(stand(membership.standing(), part.control.clone())));
        }
        let listener = Arc::clone(holding) as Arc<dyn cluster::LinkListener>;
        let links = RemoteLinks::tell(Arc::clone(peers), listener);
        // Nobody else listens, and what a whole fleet reports is much to carry for nobody.
        let listens = runs.roles.contains(&Role::Api);
        let events = listens.then(|| RemoteEvents::relay(Arc::clone(peers), Arc::clone(&runs.bus)));
        let lookout = Lookout::begin(Arc::clone(peers), status);
        info!(%node, "node {node} is called by others on {addr}");
        Ok(Joined {
            node: node.clone(),
            addr,
            membership,
            lookout,
            stop,
            server,
            _tasks: tasks,
            links,
            _events: events,
        })
    }

    /// What this node answers when it is asked how it is.
    fn status(&self, runs: &Runs) -> Arc<cluster::StatusFn> {
        let (incarnation, fence, node) = (self.incarnation, Arc::clone(&self.fence), self.node.clone());
        let views = self.views.subscribe();
        let control = runs.gateway.as_ref().map(|part| part.control.clone());
        let measured = runs.measured.clone();
        Arc::new(move || {
            let gateway = control.as_ref().map(gateway::Control::stats);
            let view = views.borrow().clone();
            NodeStatus {
                incarnation,
                load: Load {
                    // counted now: dispatch takes it for what it is at the time of the answer
                    terminals: gateway
                        .as_ref()
                        .map_or(0, |stats| u32::try_from(stats.terminals).unwrap_or(u32::MAX)),
                    ..measured.borrow().load
                },
                is_draining: view.members.get(&node).is_some_and(|member| member.is_draining),
                now: Utc::now(),
                revision: view.revision,
                epoch: fence.seen(),
                copies: gateway.map_or_else(Vec::new, |stats| {
                    stats.copies.into_iter().map(|copy| (copy.of.origin, copy.of.incarnation)).collect()
                }),
            }
        })
    }
}

impl Joined {
    /// The bound address of the port for other nodes.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it sees of the cluster, for Prometheus.
    pub(crate) fn numbers(&self) -> ClusterNumbers {
        ClusterNumbers {
            leads: self.membership.leads(),
            views: self.membership.views(),
            sightings: self.lookout.sightings(),
            away: self.membership.agreement().away(),
            links: self.links.followed(),
        }
    }

    /// Places streams by what this node sees.
    pub(crate) fn placement(&self, views: Views) -> FromView {
        FromView { views, sightings: self.lookout.sightings() }
    }

    /// The nodes of the cluster, as seen from here.
    pub(crate) fn nodes(&self, views: Views) -> Arc<dyn Nodes> {
        let (node, sightings) = (self.node.clone(), self.lookout.sightings());
        Arc::new(Seen { node, views, sightings, agreement: self.membership.agreement() })
    }

    /// Resolves when this node is no member any more, for good: another process has its name, or the cluster speaks
    /// another dialect.
    pub(crate) async fn ended(&self) -> anyhow::Error {
        let ended = self.membership.ended().await;
        anyhow::anyhow!("{} is no node of the cluster any more: {ended}", self.node)
    }

    /// Leaves, so that nobody has to wait for the lease to lapse, and answers nobody any more.
    pub(crate) async fn leave(self) {
        self.membership.shutdown().await;
        self.stop.cancel();
        if let Err(panic) = self.server.await {
            warn!("the port for other nodes ended badly: {panic}");
        }
    }
}

/// The nodes of the cluster, for people.
struct Seen {
    node: NodeId,
    views: Views,
    sightings: SightingsSeen,
    agreement: Arc<Agreement>,
}

impl Seen {
    fn ensure_there(&self, node: &NodeId) -> Result<(), DrainError> {
        let is_there = self.views.borrow().members.contains_key(node);
        if is_there { Ok(()) } else { Err(DrainError::NotFound(node.clone())) }
    }
}

#[async_trait]
impl Nodes for Seen {
    fn report(&self) -> ClusterReport {
        let away = self.agreement.away().borrow().as_ref().map(|away| away.since);
        ClusterReport::of(self.node.clone(), &self.views.borrow(), &self.sightings.borrow(), away)
    }

    async fn drain(&self, node: &NodeId) -> Result<(), DrainError> {
        self.ensure_there(node)?;
        self.agreement.mark_draining(node).await.map_err(|_| DrainError::Unavailable)
    }

    async fn undrain(&self, node: &NodeId) -> Result<(), DrainError> {
        let was_marked = self.agreement.unmark(node).await.map_err(|_| DrainError::Unavailable)?;
        if was_marked { Ok(()) } else { self.ensure_there(node) }
    }
}

/// A login server's sealed headers, as the gateway asks about them.
pub(crate) struct Seals(pub(crate) Unsealer);

impl gateway::Splices for Seals {
    fn read(&self, bytes: &[u8]) -> Result<Option<(SocketAddr, usize)>, String> {
        let unix_s = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
        let read = self.0.read(bytes, unix_s).map_err(|error| error.to_string())?;
        Ok(read.map(|(spliced, length)| (spliced.source, length)))
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Shows every View of the membership to all of this node, which was wired before there was a membership.
async fn forward(mut from: Views, to: watch::Sender<Arc<View>>) {
    loop {
        to.send_replace(from.borrow_and_update().clone());
        if from.changed().await.is_err() {
            return;
        }
    }
}

/// Tells the gateway whether this node is a member.
async fn stand(mut standing: watch::Receiver<Standing>, control: gateway::Control) {
    loop {
        let is_member = *standing.borrow_and_update() == Standing::Member;
        control.stands(is_member);
        if standing.changed().await.is_err() {
            return;
        }
    }
}

/// Drains the gateway while an operator's mark is on this node.
async fn drain_as_told(mut views: Views, node: NodeId, control: gateway::Control) {
    let mut is_draining = false;
    loop {
        let told = views.borrow_and_update().members.get(&node).map(|member| member.is_draining);
        if let Some(told) = told.filter(|told| *told != is_draining) {
            is_draining = told;
            if told {
                info!("told to drain: terminals go to other gateways");
                control.drain();
            } else {
                info!("not draining any more");
                control.undrain();
            }
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}
