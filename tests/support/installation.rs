//! A whole platform in each of its forms, for tests whose body holds for both: one process with every role, and a small
//! cluster, one process for each role, all of them on this machine's loopback address.
//!
//! What only one process has (its private PostgreSQL, what a kill leaves behind) is tested on [`Platform`] alone; what
//! only a cluster has (machines that die, links that are cut) on [`super::cluster`].

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::operators::Operators;
use super::{Options, Platform, Ready, http, motorcade, wait_for};

/// Debian's.
const ETCD: &str = "/usr/bin/etcd";
/// How long etcd may take until it answers.
const WITHIN: Duration = Duration::from_secs(60);
/// The nodes of the cluster, each named after its only role, in the order in which they are started.
const NODES: [&str; 4] = ["login", "gateway", "media", "api"];

/// How a platform is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One process with all roles and a database of its own.
    OneProcess,
    /// One process for each role, an etcd, and a database that all of them reach. Terminals dial the login server.
    Cluster,
}

/// Two tests of each body `async fn(Form)`: `in_one_process::…` and `over_a_cluster::…`.
#[macro_export]
macro_rules! in_both_forms {
    ($($body:ident),+ $(,)?) => {
        mod in_one_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body($crate::support::installation::Form::OneProcess).await;
            })+
        }
        mod over_a_cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $body() {
                super::$body($crate::support::installation::Form::Cluster).await;
            })+
        }
    };
}

/// A running platform in one of its forms. Dropping it kills everything.
pub struct Installation {
    /// Where each role is dialled. `metrics` is that of no particular node: ask [`metric`](Self::metric).
    pub ready: Ready,
    /// The folder with the secrets that sign tickets.
    pub secrets: PathBuf,
    /// The only process, or those of [`NODES`].
    nodes: Vec<Platform>,
    _etcd: Option<Etcd>,
    _database: Option<Operators>,
}

impl Installation {
    /// Everything started and ready. None where that cannot be done here, with the reason on standard output. What
    /// `options` say holds for every process, but that one alone runs the demo.
    pub async fn start(form: Form, options: Options) -> Option<Self> {
        match form {
            Form::OneProcess => {
                let platform = started(options).await;
                let (ready, secrets) = (platform.ready.clone(), platform.data.clone());
                Some(Self { ready, secrets, nodes: vec![platform], _etcd: None, _database: None })
            }
            Form::Cluster => Self::cluster(options).await,
        }
    }

    async fn cluster(options: Options) -> Option<Self> {
        let etcd = Etcd::start().await?;
        let database = Operators::new().await;
        let certs = etcd.folder.path().join("certs");
        let made = motorcade().args(["cluster", "certs", "--dir"]).arg(&certs).args(NODES).output();
        assert!(made.expect("it runs").status.success(), "certificates are made");
        let mut nodes = Vec::new();
        for node in NODES {
            let certs = certs.join(node);
            let mut options = options
                .clone()
                .env("MOTORCADE__ETCD__ENDPOINTS", &etcd.endpoint)
                .env("MOTORCADE__CLUSTER__NODE", node)
                .env("MOTORCADE__CLUSTER__CERTS", &certs.display().to_string())
                .env("MOTORCADE__CLUSTER__LISTEN", "127.0.0.1:0")
                .env("MOTORCADE__DATABASE__URL", &database.conninfo);
            if node != "login" {
                options.args.retain(|arg| arg != "--demo");
            }
            nodes.push(started(options.arg("--roles").arg(node)).await);
        }
        let [login, gateway, media, api] = nodes.as_slice() else { unreachable!("one of each") };
        let ready = Ready {
            ready: true,
            login: login.ready.login,
            gateway: gateway.ready.gateway,
            media: media.ready.media,
            live: media.ready.live,
            web: api.ready.web,
            metrics: api.ready.metrics,
        };
        let secrets = certs.join("api");
        Some(Self { ready, secrets, nodes, _etcd: Some(etcd), _database: Some(database) })
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.web)
    }

    /// A number of the process that has `role`.
    pub async fn metric(&self, role: &str, name: &str) -> Option<u64> {
        let place = NODES.iter().position(|node| *node == role).expect("a role");
        let node = self.nodes.get(place).unwrap_or(&self.nodes[0]);
        let text = http().get(format!("http://{}/metrics", node.ready.metrics)).send().await.ok()?;
        let text = text.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.parse().ok()
    }
}

/// A start takes its time, and blocks.
async fn started(options: Options) -> Platform {
    tokio::task::spawn_blocking(|| Platform::start(options)).await.expect("the process starts")
}

/// One etcd, in a folder and on ports of its own.
struct Etcd {
    child: Child,
    endpoint: String,
    folder: tempfile::TempDir,
}

impl Etcd {
    async fn start() -> Option<Self> {
        if !Path::new(ETCD).exists() {
            println!("skipped: {ETCD} is absent");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("mc").tempdir_in("/tmp").expect("a folder");
        let [client, peer] = free_addresses();
        let (endpoint, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new(ETCD);
        command.env_clear().arg("--data-dir").arg(folder.path().join("etcd"));
        command.args(["--name", "only", "--logger", "zap", "--log-level", "error"]);
        command.args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("only={peer}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let etcd = Self { child: command.spawn().expect("etcd starts"), endpoint, folder };
        let waiting = move || {
            wait_for("etcd", WITHIN, || std::net::TcpStream::connect(client).ok());
        };
        tokio::task::spawn_blocking(waiting).await.expect("etcd answers");
        Some(etcd)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Addresses that were free a moment ago: etcd cannot be asked which ones it took.
fn free_addresses() -> [SocketAddr; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("bound"))
}
