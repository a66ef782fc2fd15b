//! `motorcade serve`: the roles, wired. Here is how a process begins and ends; each role's start has a file of its own.

mod alone;
mod api;
mod cluster;
mod gateway;
mod ground;
mod login;
mod media;
mod metrics;
mod roles;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::api::{Api, Certificate};
use ::cluster::{Alone, AloneNodes, Bus, NodeId, Terminals};
use ::gateway::Gateway;
use ::login::Login;
use ::media::MediaServer;
use access::Access;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::cli::{Serve, runtime, start_log};
use crate::config::Config;
use crate::database::{Care, Database};
use crate::demo::Demo;
use crate::doors::Doors;
use crate::load::LoadMeter;
use crate::member::{Joined, Member};
use crate::metrics::Metrics;
use crate::secrets::Secrets;
use crate::trace::Tracing;
use ground::{Ground, Seams};
use roles::Roles;

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
        let end = told_to_end()?;
        let Some(mut node) = Box::pin(Node::start(config, roles, &data, serve.demo, &end)).await? else {
            return Ok(());
        };
        node.announce()?;
        let ended = tokio::select! {
            () = end.cancelled() => Ok(()),
            error = node.failed() => Err(error),
        };
        info!("stopping");
        Box::pin(node.stop()).await?;
        ended
    });
    runtime.shutdown_timeout(THREADS_END_WITHIN);
    ended
}

/// Everything that runs in this process.
struct Node {
    demo: Option<Demo>,
    api: Option<Api>,
    login: Option<Login>,
    media: Option<Arc<MediaServer>>,
    joined: Option<Joined>,
    /// What leads the cluster whenever this node is its leader.
    leadership: Option<AbortOnDropHandle<()>>,
    gateway: Option<Gateway>,
    metrics: Option<Metrics>,
    load: Option<LoadMeter>,
    care: Care,
    database: Database,
    tracing: Tracing,
    ground: Ground,
    _certificate: Option<Certificate>,
}

impl Node {
    /// Everything started; None where it was told to `end` before. Where a part does not start, or is not waited for,
    /// those that did are stopped first: nothing is left behind, no server of the database and no lease in the cluster.
    /// But for a server of the database that is itself just starting: it is found, and taken over, by the next start.
    async fn start(
        config: Config,
        roles: Roles,
        data: &Path,
        demo: bool,
        end: &CancellationToken,
    ) -> Result<Option<Self>> {
        let Some(prepared) = end.run_until_cancelled(Self::prepare(config, roles, data)).await else {
            info!("told to end before anything was started");
            return Ok(None);
        };
        let mut node = prepared?;
        match end.run_until_cancelled(Box::pin(node.start_roles(roles, demo))).await {
            Some(Ok(())) => Ok(Some(node)),
            None => {
                info!("told to end before everything was started");
                node.stop().await?;
                Ok(None)
            }
            Some(Err(error)) => {
                if let Err(further) = node.stop().await {
                    warn!("what had been started did not end well: {further:#}");
                }
                Err(error)
            }
        }
    }

    /// What the roles stand on; none of them runs yet.
    async fn prepare(config: Config, roles: Roles, data: &Path) -> Result<Self> {
        std::fs::create_dir_all(data).with_context(|| format!("make the data folder {}", data.display()))?;
        let tracing = Tracing::start(&config.trace, name(&config))?;
        let trace = tracing.trace().clone();
        let member = Member::prepare(&config, &trace)?;
        roles.check(member.is_none())?;
        let secrets = match (&member, &config.cluster.certs) {
            (Some(_), Some(shared)) => Secrets::read(shared)?,
            _ => Secrets::read_or_make(data)?,
        };
        let certificate = match config.tls.files()? {
            Some((cert, key)) => Some(Certificate::watch(cert, key)?),
            None => None,
        };
        let tls = certificate.as_ref().map(Certificate::server_config);
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
        let bus = Arc::new(Bus::default());
        let ground = Ground { config, data: data.to_owned(), secrets, db, access, bus, tls, member, trace };
        Ok(Self {
            demo: None,
            api: None,
            login: None,
            media: None,
            joined: None,
            leadership: None,
            gateway: None,
            metrics: None,
            load: None,
            care,
            database,
            tracing,
            ground,
            _certificate: certificate,
        })
    }

    async fn start_roles(&mut self, roles: Roles, demo: bool) -> Result<()> {
        let ground = &self.ground;
        if roles.gateway {
            self.gateway = Some(gateway::start(ground).await?);
        }
        let gateway = self.gateway.as_ref();
        let doors = Arc::new(Doors::new(gateway.map(Gateway::terminals)));
        let own = Arc::clone(&doors) as Arc<dyn Terminals>;
        let terminals = match &ground.member {
            Some(member) => member.terminals(own),
            None => own,
        };
        if roles.media {
            self.media = Some(media::start(ground, &terminals).await?);
        }
        let media = self.media.as_ref();
        let load = LoadMeter::start(&ground.data, gateway.map(Gateway::control), media.cloned());

        let place = media.map(|media| media::dial(ground, media));
        let mut seams = Seams {
            terminals,
            placement: Arc::new(Alone { media: place.clone() }),
            media: media.map(|media| Arc::clone(media) as Arc<dyn ::cluster::Media>),
            dispatch: None,
            nodes: Arc::new(AloneNodes {
                info: alone::info(ground, roles, gateway, place),
                measured: load.measured(),
            }),
        };
        if let Some(member) = &ground.member {
            let runs = cluster::runs(ground, roles, &doors, gateway, media, load.measured());
            let joined = self.joined.insert(member.join(runs).await?);
            let views = member.peers.views();
            seams.media = Some(member.media(seams.media.take()));
            seams.placement = Arc::new(joined.placement(views.clone()));
            seams.nodes = joined.nodes(views.clone());
            seams.dispatch = Some(cluster::dispatch(member, joined));
            if roles.login {
                self.leadership = Some(cluster::lead(ground, member, joined, gateway));
            }
        } else {
            seams.dispatch = gateway.map(|gateway| alone::dispatch(ground, gateway));
        }
        self.load = Some(load);

        if let (true, Some(dispatch)) = (roles.login, &seams.dispatch) {
            let login = login::start(ground, &seams, dispatch, gateway).await?;
            doors.opens(login.control());
            self.login = Some(login);
        }
        if roles.api {
            self.api = Some(api::start(ground, &seams, demo).await?);
        }
        self.metrics = metrics::start(self).await?;

        let dial = gateway.map(Gateway::addr);
        let dial = dial.or_else(|| self.login.as_ref().map(Login::addr)).filter(|_| demo);
        self.demo = dial.map(|dial| Demo::start(self.care.ready(), ground.db.clone(), &ground.data, dial));
        if let Some(demo) = self.demo.as_mut().filter(|_| self.care.is_ready()) {
            demo.started().await.context("start the demo")?;
        }
        Ok(())
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
            let scheme = if self.ground.tls.is_some() { "https" } else { "http" };
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
        drop(self.leadership);
        if let Some(joined) = self.joined {
            joined.leave().await;
        }
        if let Some(metrics) = self.metrics {
            metrics.stop();
        }
        self.tracing.stop().await;
        self.care.stop();
        self.database.stop().await
    }
}

/// The name of the node that is configured.
fn name(config: &Config) -> NodeId {
    let of_a_cluster = config.cluster.node.clone().filter(|_| !config.etcd.endpoints.is_empty());
    of_a_cluster.unwrap_or_else(alone::name)
}

/// Addresses are shown as a program on this machine dials them.
fn local(addr: SocketAddr) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, addr.port()).into()
}

/// Is cancelled by the first SIGTERM or SIGINT from now on.
fn told_to_end() -> Result<CancellationToken> {
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let end = CancellationToken::new();
    let told = end.clone();
    tokio::spawn(async move {
        let mut signalled = async || {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        signalled().await;
        told.cancel();
        // A second signal ends it at once: the operator has waited long enough.
        signalled().await;
        error!("told twice to end");
        std::process::exit(1);
    });
    Ok(end)
}
