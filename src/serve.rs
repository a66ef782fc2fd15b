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
use chrono::Utc;
use cluster::{Advertise, Alone, AloneNodes, Bus, DIALECT, Events, Incarnation, Limits, NodeInfo, Terminals};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::cli::{Role, Serve, runtime, start_log};
use crate::config::Config;
use crate::database::{Care, Database};
use crate::demo::Demo;
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
    let roles = Roles::of(&serve.roles)?;
    let data = serve.place.data_dir()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async move {
        let mut node = Box::pin(Node::start(config, roles, &data, serve.demo)).await?;
        node.announce()?;
        let ended = tokio::select! {
            told = wait_for_the_end() => told,
            error = node.care.failed() => Err(error),
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
    media: bool,
    api: bool,
}

impl Roles {
    fn of(named: &[Role]) -> Result<Self> {
        if named.is_empty() {
            return Ok(Self { media: true, api: true });
        }
        if named.contains(&Role::Login) {
            bail!("the role login is not built yet");
        }
        ensure!(
            named.contains(&Role::Gateway),
            "without the role gateway no terminal is reachable, as roles of other processes are not built yet"
        );
        Ok(Self { media: named.contains(&Role::Media), api: named.contains(&Role::Api) })
    }

    /// As a node tells them to others.
    fn told(self) -> Vec<cluster::Role> {
        let runs = |role: &cluster::Role| match role {
            cluster::Role::Login => false,
            cluster::Role::Gateway => true,
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
    media: Option<Arc<media::MediaServer>>,
    gateway: gateway::Gateway,
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
        let secrets = Secrets::read_or_make(data)?;
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

        let events: Arc<dyn Events> = Arc::new(Bus::default());
        let mut gateway_settings = config.gateway.clone();
        gateway_settings.spool_dir = data.join(crate::place::SPOOL);
        let gateway = Box::pin(gateway::Gateway::start(
            gateway_settings,
            gateway::Deps { db: db.clone(), events: Arc::clone(&events), codes: secrets.auth_codes()? },
        ))
        .await
        .context("start the gateway")?;
        let terminals: Arc<dyn Terminals> = gateway.terminals();

        let media = if roles.media {
            let settings = media::Settings {
                viewer: config.media.listener(),
                live: config.live.listener(),
                live_ports: config.live.ports,
                live_pool_port: config.live.pool_port,
                ..config.media.settings.clone()
            };
            let deps = media::Deps {
                terminals: Arc::clone(&terminals),
                events: Arc::clone(&events),
                viewers: Arc::new(Rights(access.clone())),
                tls: tls.clone(),
            };
            Some(Arc::new(
                Box::pin(media::MediaServer::start(settings, deps))
                    .await
                    .context("start the media server")?,
            ))
        } else {
            None
        };

        let place = media.as_ref().map(|media| cluster::MediaServer {
            viewer: dialled(config.media.advertise.as_ref(), media.viewer_addr()),
            tls: tls.is_some(),
        });
        let meters = Meters { gateway: Some(gateway.meter()), media: media.clone() };
        let load = LoadMeter::start(data, meters.clone());

        let api = if roles.api {
            let settings = api::Settings {
                web: config.web.listener(),
                public_docs: config.web.public_docs.unwrap_or(demo),
                console_dir: config.web.console_dir.clone().or_else(console_dir),
                workers: config.web.workers,
                cmsv6_time_offset_min: config.cmsv6.time_offset_min,
                map: api::Map {
                    tile_url: config.map.tile_url.clone(),
                    attribution: config.map.attribution.clone(),
                },
            };
            let deps = api::Deps {
                db: db.clone(),
                access: access.clone(),
                events: Arc::clone(&events),
                terminals: Arc::clone(&terminals),
                nodes: Arc::new(AloneNodes {
                    info: node_info(&config, roles, &gateway, place.clone())?,
                    measured: load.measured(),
                }),
                placement: Arc::new(Alone { media: place }),
                media: media.clone().map(|media| media as Arc<dyn cluster::Media>),
                tls: tls.clone(),
            };
            Some(Box::pin(api::Api::start(settings, deps)).await.context("start the API")?)
        } else {
            None
        };

        let metrics = metrics(&config, meters, &care).await?;

        let mut demo = demo.then(|| Demo::start(care.ready(), db.clone(), data, gateway.addr()));
        if let Some(demo) = demo.as_mut().filter(|_| care.is_ready()) {
            demo.started().await.context("start the demo")?;
        }
        Ok(Self {
            demo,
            api,
            media,
            gateway,
            metrics,
            _load: load,
            care,
            database,
            tls: tls.is_some(),
            _certificate: certificate,
        })
    }

    /// One line of JSON on standard output, and the URL on standard error.
    fn announce(&self) -> Result<()> {
        let mut line: BTreeMap<&str, Value> = BTreeMap::from([("ready", json!(true))]);
        let mut put = |name, addr: SocketAddr| line.insert(name, json!(local(addr)));
        put("gateway", self.gateway.addr());
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

    /// People first, then video, then terminals, then the database.
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
        self.gateway.shutdown().await;
        if let Some(metrics) = self.metrics {
            metrics.stop();
        }
        self.care.stop();
        self.database.stop().await
    }
}

/// The listener for Prometheus and probes. Where its usual port is taken and nobody chose it, the node goes without.
async fn metrics(config: &Config, meters: Meters, care: &Care) -> Result<Option<Metrics>> {
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

/// What this node says of itself.
fn node_info(
    config: &Config,
    roles: Roles,
    gateway: &gateway::Gateway,
    media: Option<cluster::MediaServer>,
) -> Result<NodeInfo> {
    Ok(NodeInfo {
        node: config.gateway.node.parse().context("name the node")?,
        incarnation: Incarnation(rand::random()),
        dialect: DIALECT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: roles.told(),
        // No other node is there to call it.
        seams: Advertise { host: None, port: 0 },
        gateway: Some(dialled(config.gateway.advertise.as_ref(), gateway.addr())),
        media,
        limits: Limits { terminals: u32::try_from(config.gateway.connections_max).unwrap_or(u32::MAX) },
        started_at: Utc::now(),
    })
}

/// What others dial to reach a listener: what is advertised, else its port on the host that they know already.
fn dialled(advertise: Option<&Advertise>, bound: SocketAddr) -> Advertise {
    advertise.cloned().unwrap_or(Advertise { host: None, port: bound.port() })
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
