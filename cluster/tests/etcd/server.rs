//! A real etcd for a test, on ports and in a folder of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cluster::etcd::{Agreement, EtcdSettings};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Debian's package puts it there.
const PROGRAM: &str = "/usr/bin/etcd";
/// How long anything may take that a test waits for.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    client: u16,
    peer: u16,
    tls: Option<Tls>,
}

/// PEM files for both sides: one authority, one certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Server {
    /// None where etcd is not installed, which is said.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(|_| None).await
    }

    /// One that knows its clients by their certificates.
    pub(crate) async fn start_with(tls: impl FnOnce(&Path) -> Option<Tls>) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            println!("skipped: {PROGRAM} is absent");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let tls = tls(folder.path());
        let [client, peer] = free_ports();
        let child = spawn(folder.path(), client, peer, tls.as_ref());
        let server = Self { child, folder, client, peer, tls };
        server.answers().await;
        Some(server)
    }

    /// For a node of a cluster called `test`.
    pub(crate) fn settings(&self) -> EtcdSettings {
        let (scheme, tls) = (if self.tls.is_some() { "https" } else { "http" }, self.tls.clone());
        EtcdSettings {
            endpoints: vec![format!("{scheme}://127.0.0.1:{}", self.client)],
            cluster: "test".to_owned(),
            lease_ttl_s: 5,
            ca: tls.as_ref().map(|tls| tls.ca.clone()),
            cert: tls.as_ref().map(|tls| tls.cert.clone()),
            key: tls.map(|tls| tls.key),
        }
    }

    pub(crate) fn agreement(&self) -> Agreement {
        Agreement::new(&self.settings()).expect("settings that work")
    }

    /// A client that may do anything.
    pub(crate) async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect(self.settings().endpoints, None).await.expect("a client")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Starts it again with what it had.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.client, self.peer, self.tls.as_ref());
        self.answers().await;
    }

    /// Kills it and starts it with nothing.
    pub(crate) async fn lose_data(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("removed");
        self.restart().await;
    }

    async fn answers(&self) {
        let agreement = self.agreement();
        wait_for("etcd to answer", async || agreement.look().await.map(drop)).await;
    }
}

/// Waits until `condition` gives something; panics with what it gave instead when it does not in time.
pub(crate) async fn wait_for<T, E: std::fmt::Debug>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let until = Instant::now() + WITHIN;
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(seen) => assert!(Instant::now() < until, "waited {WITHIN:?} for {what}: {seen:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(folder: &Path, client: u16, peer: u16, tls: Option<&Tls>) -> Child {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new(PROGRAM);
    command.env_clear().arg("--data-dir").arg(folder.join("data"));
    command.args(["--name", "test", "--logger", "zap", "--log-level", "error"]);
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("test={peer}")]);
    if let Some(tls) = tls {
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.ca);
        command.arg("--cert-file").arg(&tls.cert).arg("--key-file").arg(&tls.key);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("etcd starts")
}

/// Ports that were free a moment ago, as etcd cannot be asked which one it took. Not of those that the system gives away
/// by itself, so that no connection of another test has one when etcd comes back to it.
fn free_ports() -> [u16; 2] {
    let free = || {
        let mut ports = (0..1_000).map(|_| rand::random_range(10_000..32_000));
        ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("a free port")
    };
    [free(), free()].map(|held| held.local_addr().expect("bound").port())
}
