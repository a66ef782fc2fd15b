//! `motorcade serve`: the roles, wired.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use anyhow::{Context, Result, bail, ensure};
use api::Certificate;
use cluster::dispatch::{Candidate, Candidates};
use cluster::{
    Advertise, Alone, AloneNodes, Bus, Events, NodeId, Nodes, Placement, SightingsSeen, Terminals, Views,
};
use db::Db;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::cli::{Role, Serve, runtime, start_log};
use crate::config::Config;
use crate::database::{Care, Database};
use crate::demo::Demo;
use crate::leader::{Leadership, Own};
use crate::member::{GatewayPart, Joined, MediaPart, Member, Runs};
use crate::metrics::{Meters, Metrics, NodeMeter};
use crate::node::LoadMeter;
use crate::secrets::Secrets;
use crate::viewers::Rights;

/// How long the end waits for threads: one that asks a server that went silent would never end.
const THREADS_END_WITHIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT, or until the database turns out to be one that cannot be used.
pub(crate) fn run(serve: &Serve) -> Result<()> {
    let config = serve.place.config()?;
    start_log(&config.log)?;
    let roles = Roles::of(&serve.roles);
    let data = serve.place.data_dir()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async move {
        let mut node = Box::pin(Node::start(config, roles, &data, serve.demo)).await?;
        node.announce()?;
        let ended = tokio::select! {
            told = wait_for_the_end() => told,
            error = node.failed() => Err(error),
        };
        info!("stopping");
        Box::pin(node.stop()).await?;
        ended
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    ended
}

/// Which roles run.
#[derive(Clone, Copy)]
struct Roles {
    login: bool,
    gateway: bool,
    media: bool,
    api: bool,
}

impl Roles {
    fn of(named: &[Role]) -> Self {
        let runs = |role| named.is_empty() || named.contains(&role);
        Self {
            login: runs(Role::Login),
            gateway: runs(Role::Gateway),
            media: runs(Role::Media),
            api: runs(Role::Api),
        }
    }

    /// Alone, every role works with a gateway of its own process.
    fn check(self, is_alone: bool) -> Result<()> {
        ensure!(
            self.gateway || !is_alone,
            "without the role gateway no terminal is reachable: a node that leaves it to others belongs to a cluster \
             (etcd.endpoints)"
        );
        Ok(())
    }

    fn names(self) -> Vec<cluster::Role> {
        let runs = |role: &cluster::Role| match role {
            cluster::Role::Login => self.login,
            cluster::Role::Gateway => self.gateway,
            cluster::Role::Media => self.media,
            cluster::Role::Api => self.api,
        };
        cluster::Role::ALL.into_iter().filter(runs).collect()
    }
}

/// Everything that runs in this process.
struct Node {
    demo: Option<Demo>,
    api: Option<api::Api>,
    login: Option<login::Login>,
    media: Option<Arc<media::MediaServer>>,
    _member: Option<Member>,
    joined: Option<Joined>,
    /// What leads the cluster whenever this node is its leader.
    _leadership: Option<AbortOnDropHandle<()>>,
    gateway: Option<gateway::Gateway>,
    metrics: Option<Metrics>,
    _load: LoadMeter,
    care: Care,
    database: Database,
    tls: bool,
    _certificate: Option<Certificate>,
}

impl Node {
    async fn start(config: Config, roles: Roles, data: &Path, demo: bool) -> Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("make the data folder {}", data.display()))?;
        let member = Member::prepare(&config)?;
        roles.check(member.is_none())?;
        let secrets = match (&member, &config.cluster.certs) {
            (Some(_), Some(shared)) => Secrets::read(shared)?,
            _ => Secrets::read_or_make(data)?,
        };
        let database = Database::start(&config, data).await?;
        let db = database.db().clone();
        let access = Access::new(db.clone(), secrets.access.clone());
        let care = match database.care(&access).await {
            Ok(care) => care,
            Err(error) => {
                database.stop().await?;
                return Err(error);
            }
        };

        let certificate = match config.tls.files()? {
            Some((cert, key)) => Some(Certificate::watch(cert, key)?),
            None => None,
        };
        let tls = certificate.as_ref().map(Certificate::server_config);

        let bus = Arc::new(Bus::default());
        let events = Arc::clone(&bus) as Arc<dyn Events>;
        let gateway = match roles.gateway {
            true => Some(start_gateway(&config, member.as_ref(), &secrets, data, &db, &events).await?),
            false => None,
        };
        let own_terminals = gateway.as_ref().map(gateway::Gateway::terminals);
        let terminals: Arc<dyn Terminals> = match (&member, &own_terminals) {
            (Some(member), own) => member.terminals(own.clone()),
            (None, Some(own)) => Arc::clone(own),
            (None, None) => bail!("a node that is alone has a gateway"),
        };

        let media = match roles.media {
            true => {
                let host = member.as_ref().map(|member| member.host.clone());
                Some(start_media(&config, host, &terminals, &events, &access, tls.clone()).await?)
            }
            false => None,
        };
        let place = media.as_ref().map(|media| {
            let bound = media.viewer_addr();
            let advertise = config.media.advertise.as_ref();
            let viewer = match &member {
                Some(member) => member.dial(advertise, bound),
                None => advertise.cloned().unwrap_or(Advertise { host: None, port: bound.port() }),
            };
            cluster::MediaServer { viewer, tls: tls.is_some() }
        });

        let load = LoadMeter::start(data, gateway.as_ref().map(gateway::Gateway::control), media.clone());
        let mut seams = Seams {
            terminals,
            placement: Arc::new(Alone { media: place.clone() }),
            media: media.clone().map(|media| media as Arc<dyn cluster::Media>),
            gateways: gateway.as_ref().map(|gateway| only_gateway(gateway, &config)),
            nodes: Arc::new(AloneNodes {
                info: alone(&config, roles, gateway.as_ref(), place.clone()),
                measured: load.measured(),
            }),
        };
        let mut joined = None;
        let mut leadership = None;
        if let Some(member) = &member {
            let runs = runs(&config, member, roles, &bus, gateway.as_ref(), media.as_ref().zip(place), &load);
            let node = member.join(runs).await?;
            seams.media = Some(member.media(seams.media.take()));
            seams.placement = Arc::new(node.placement(member.peers.views().clone()));
            seams.nodes = node.nodes(member.peers.views().clone());
            seams.gateways = Some(Arc::new(InView {
                views: member.peers.views().clone(),
                sightings: node.lookout.sightings(),
            }));
            if roles.login {
                leadership = Some(lead(member, &node, &db, &bus, gateway.as_ref()));
            }
            joined = Some(node);
        }

        let login = match (roles.login, &seams.gateways) {
            (true, Some(gateways)) => {
                let deps = login::Deps {
                    db: db.clone(),
                    codes: secrets.auth_codes()?,
                    gateways: Arc::clone(gateways),
                    secret: secrets.splices()?,
                    clients: Arc::new(Rights(access.clone())),
                    placement: Arc::clone(&seams.placement),
                };
                let admission = config.gateway.admission;
                let settings = login::Settings { admission, ..config.login.clone() };
                let login = login::Login::start(settings, deps).await.context("start the login server")?;
                match (&member, &gateway) {
                    (Some(member), _) => member.holding.tells(login.arrivals()),
                    (None, Some(gateway)) => tell_arrivals(gateway, login.arrivals()),
                    (None, None) => {}
                }
                Some(login)
            }
            _ => None,
        };

        let api = match roles.api {
            true => Some(start_api(&config, demo, &db, &access, &events, &seams, tls.clone()).await?),
            false => None,
        };
        let metrics = metrics(&config, gateway.as_ref(), media.as_ref(), joined.as_ref(), &care).await?;

        let dial = gateway.as_ref().map(gateway::Gateway::addr).filter(|_| demo);
        let mut demo = dial.map(|dial| Demo::start(care.ready(), db.clone(), data, dial));
        if let Some(demo) = demo.as_mut().filter(|_| care.is_ready()) {
            demo.started().await.context("start the demo")?;
        }
        Ok(Self {
            demo,
            api,
            login,
            media,
            _member: member,
            joined,
            _leadership: leadership,
            gateway,
            metrics,
            _load: load,
            care,
            database,
            tls: tls.is_some(),
            _certificate: certificate,
        })
    }

    /// Resolves when this node cannot go on.
    async fn failed(&mut self) -> anyhow::Error {
        let ended = async {
            match &self.joined {
                Some(joined) => joined.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = self.care.failed() => error,
            error = ended => error,
        }
    }

    /// One line of JSON on standard output, and the URL on standard error.
    fn announce(&self) -> Result<()> {
        let mut line: BTreeMap<&str, Value> = BTreeMap::from([("ready", json!(true))]);
        let mut put = |name, addr: SocketAddr| line.insert(name, json!(local(addr)));
        if let Some(gateway) = &self.gateway {
            put("gateway", gateway.addr());
        }
        if let Some(login) = &self.login {
            put("login", login.addr());
        }
        if let Some(joined) = &self.joined {
            put("cluster", joined.addr());
        }
        if let Some(media) = &self.media {
            put("media", media.viewer_addr());
            put("live", media.live_addr());
        }
        if let Some(metrics) = &self.metrics {
            put("metrics", metrics.addr());
        }
        if let Some(api) = &self.api {
            put("web", api.addr());
            let scheme = if self.tls { "https" } else { "http" };
            eprintln!("motorcade is ready: {scheme}://{}", local(api.addr()));
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
        out.flush()?;
        Ok(())
    }

    /// People first, then video, then terminals, then the cluster, then the database.
    async fn stop(self) -> Result<()> {
        if let Some(demo) = self.demo {
            demo.stop().await;
        }
        if let Some(api) = self.api {
            api.shutdown().await;
        }
        if let Some(media) = self.media {
            media.shutdown().await;
        }
        if let Some(login) = self.login {
            login.shutdown().await;
        }
        if let Some(gateway) = self.gateway {
            gateway.shutdown().await;
        }
        if let Some(joined) = self.joined {
            joined.leave().await;
        }
        if let Some(metrics) = self.metrics {
            metrics.stop();
        }
        self.care.stop();
        self.database.stop().await
    }
}

/// The seams as the roles of this node see them.
struct Seams {
    terminals: Arc<dyn Terminals>,
    placement: Arc<dyn Placement>,
    media: Option<Arc<dyn cluster::Media>>,
    gateways: Option<Arc<dyn login::Gateways>>,
    nodes: Arc<dyn Nodes>,
}

async fn start_gateway(
    config: &Config,
    member: Option<&Member>,
    secrets: &Secrets,
    data: &Path,
    db: &Db,
    events: &Arc<dyn Events>,
) -> Result<gateway::Gateway> {
    let mut settings = config.gateway.clone();
    settings.spool_dir = data.join(crate::place::SPOOL);
    settings.redirect_limit_min = config.login.redirect_limit_min;
    settings.redirect_form = config.login.redirect_form.into();
    let membership = match member {
        Some(member) => {
            settings.node = member.node().to_string();
            // terminals that are renewed are told it
            settings.advertise = Some(member.dial(settings.advertise.as_ref(), settings.listen));
            member.gateway(secrets.splices()?)
        }
        None => crate::member::alone(secrets.splices()?),
    };
    let deps = gateway::Deps { db: db.clone(), events: Arc::clone(events), codes: secrets.auth_codes()? };
    Box::pin(gateway::Gateway::join(settings, deps, membership)).await.context("start the gateway")
}

async fn start_media(
    config: &Config,
    host: Option<String>,
    terminals: &Arc<dyn Terminals>,
    events: &Arc<dyn Events>,
    access: &Access,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<Arc<media::MediaServer>> {
    let settings = media::Settings {
        viewer: config.media.listener(),
        live: config.live.listener(),
        live_host: host,
        live_ports: config.live.ports,
        live_pool_port: config.live.pool_port,
        ..config.media.settings.clone()
    };
    let deps = media::Deps {
        terminals: Arc::clone(terminals),
        events: Arc::clone(events),
        viewers: Arc::new(Rights(access.clone())),
        tls,
    };
    let started = Box::pin(media::MediaServer::start(settings, deps)).await;
    Ok(Arc::new(started.context("start the media server")?))
}

async fn start_api(
    config: &Config,
    demo: bool,
    db: &Db,
    access: &Access,
    events: &Arc<dyn Events>,
    seams: &Seams,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> Result<api::Api> {
    let settings = api::Settings {
        web: config.web.listener(),
        public_docs: config.web.public_docs.unwrap_or(demo),
        console_dir: config.web.console_dir.clone().or_else(console_dir),
        workers: config.web.workers,
        cmsv6_time_offset_min: config.cmsv6.time_offset_min,
        map: api::Map { tile_url: config.map.tile_url.clone(), attribution: config.map.attribution.clone() },
    };
    let deps = api::Deps {
        db: db.clone(),
        access: access.clone(),
        events: Arc::clone(events),
        terminals: Arc::clone(&seams.terminals),
        nodes: Arc::clone(&seams.nodes),
        placement: Arc::clone(&seams.placement),
        media: seams.media.clone(),
        tls,
    };
    Box::pin(api::Api::start(settings, deps)).await.context("start the API")
}

/// What the cluster is told of this node.
fn runs(
    config: &Config,
    member: &Member,
    roles: Roles,
    bus: &Arc<Bus>,
    gateway: Option<&gateway::Gateway>,
    media: Option<(&Arc<media::MediaServer>, cluster::MediaServer)>,
    load: &LoadMeter,
) -> Runs {
    Runs {
        roles: roles.names(),
        bus: Arc::clone(bus),
        gateway: gateway.map(|gateway| GatewayPart {
            dial: member.dial(config.gateway.advertise.as_ref(), gateway.addr()),
            limit: u32::try_from(config.gateway.connections_max).unwrap_or(u32::MAX),
            terminals: gateway.terminals(),
            links: gateway.links(),
            copies: gateway.copies(),
            control: gateway.control(),
        }),
        media: media.map(|(server, dial)| MediaPart { dial, server: Arc::clone(server) }),
        measured: load.measured(),
    }
}

/// What a node that is alone says of itself.
fn alone(
    config: &Config,
    roles: Roles,
    gateway: Option<&gateway::Gateway>,
    media: Option<cluster::MediaServer>,
) -> cluster::NodeInfo {
    let dial = |gateway: &gateway::Gateway| {
        let advertise = config.gateway.advertise.clone();
        advertise.unwrap_or(Advertise { host: None, port: gateway.addr().port() })
    };
    cluster::NodeInfo {
        node: crate::member::only_node(),
        incarnation: cluster::Incarnation(rand::random()),
        dialect: cluster::DIALECT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: roles.names(),
        // no other node is there to call it
        seams: Advertise { host: None, port: 0 },
        gateway: gateway.map(dial),
        media,
        limits: cluster::Limits {
            terminals: u32::try_from(config.gateway.connections_max).unwrap_or(u32::MAX),
        },
        started_at: chrono::Utc::now(),
    }
}

/// Leads whenever this node is the leader.
fn lead(
    member: &Member,
    joined: &Joined,
    db: &Db,
    bus: &Arc<Bus>,
    gateway: Option<&gateway::Gateway>,
) -> AbortOnDropHandle<()> {
    let leadership = Leadership {
        leads: joined.membership.leads(),
        peers: Arc::clone(&member.peers),
        sightings: joined.lookout.sightings(),
        holders: Arc::clone(&member.holding) as Arc<dyn cluster::Holders>,
        db: db.clone(),
        bus: Arc::clone(bus),
        own: gateway.map(|gateway| Own { orders: Arc::new(gateway.control()), copies: gateway.copies() }),
    };
    AbortOnDropHandle::new(tokio::spawn(leadership.run()))
}

/// The gateways of the cluster, as this node sees them.
struct InView {
    views: Views,
    sightings: SightingsSeen,
}

impl login::Gateways for InView {
    fn candidates(&self) -> Candidates {
        Candidates::of(&self.views.borrow(), &self.sightings.borrow())
    }
}

/// The one gateway of a node that is alone.
struct Only {
    node: NodeId,
    dial: Advertise,
    limit: u32,
    control: gateway::Control,
}

fn only_gateway(gateway: &gateway::Gateway, config: &Config) -> Arc<dyn login::Gateways> {
    let dial = config.gateway.advertise.clone();
    Arc::new(Only {
        node: crate::member::only_node(),
        dial: dial.unwrap_or(Advertise { host: None, port: gateway.addr().port() }),
        limit: u32::try_from(config.gateway.connections_max).unwrap_or(u32::MAX),
        control: gateway.control(),
    })
}

impl login::Gateways for Only {
    fn candidates(&self) -> Candidates {
        let only = Candidate {
            node: self.node.clone(),
            dial: Some(self.dial.clone()),
            limit: self.limit,
            terminals: u32::try_from(self.control.stats().terminals).unwrap_or(u32::MAX),
            measured_at_ms: chrono::Utc::now().timestamp_millis(),
            unfit: None,
        };
        Candidates { gateways: vec![only], dispatchers: 1 }
    }
}

/// Lets the login server of a node that is alone hear who has arrived. Ends with the process.
fn tell_arrivals(gateway: &gateway::Gateway, arrivals: login::Arrivals) {
    let (links, node) = (gateway.links(), crate::member::only_node());
    tokio::spawn(async move {
        loop {
            let (all, mut changes) = links.follow();
            arrivals.told_all(&node, &all);
            while let Some(change) = changes.next().await {
                arrivals.told(&node, change);
            }
            tokio::task::yield_now().await;
        }
    });
}

/// The listener for Prometheus and probes. Where its usual port is taken and nobody chose it, the node goes without.
async fn metrics(
    config: &Config,
    gateway: Option<&gateway::Gateway>,
    media: Option<&Arc<media::MediaServer>>,
    joined: Option<&Joined>,
    care: &Care,
) -> Result<Option<Metrics>> {
    let meters = Meters {
        gateway: gateway.map(gateway::Gateway::control),
        media: media.cloned(),
        cluster: joined.map(Joined::meter),
    };
    let node = NodeMeter { node: config.gateway.node.clone(), database: Arc::new(care.watch()) };
    let is_there = care.watch();
    let readiness =
        Arc::new(move || if is_there() { Ok(()) } else { Err("the database is not there yet".to_owned()) });
    match Metrics::start(&config.metrics.listener(), meters, node, readiness).await {
        Ok(metrics) => Ok(Some(metrics)),
        Err(error) if !config.metrics.is_set() => {
            warn!("no metrics are served: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The built console: beside the program, where a package puts it, or in the source tree.
fn console_dir() -> Option<std::path::PathBuf> {
    let program = std::env::current_exe().ok()?;
    let beside = program.parent()?;
    [
        beside.join("console"),
        beside.join("../share/motorcade/console"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console/dist"),
    ]
    .into_iter()
    .find(|dir| dir.join("index.html").is_file())
}

/// Addresses are shown as a program on this machine dials them.
fn local(addr: SocketAddr) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, addr.port()).into()
}

async fn wait_for_the_end() -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    // A second signal ends it at once: the operator has waited long enough.
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        error!("told twice to end");
        std::process::exit(1);
    });
    Ok(())
}
