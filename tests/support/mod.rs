//! A whole platform for a test: the real binary, in folders and on ports of its own.
#![allow(dead_code, unreachable_pub, reason = "every test file uses the part it needs")]

pub mod cluster;
pub mod desk;
pub mod findings;
pub mod installation;
pub mod machines;
pub mod operators;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The password of `admin` in tests.
pub const PASSWORD: &str = "correct horse battery staple";

/// What `serve` prints when it is ready: addresses of the roles that it runs, and of others [`NOWHERE`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Ready {
    pub ready: bool,
    pub web: SocketAddr,
    pub login: SocketAddr,
    pub gateway: SocketAddr,
    pub media: SocketAddr,
    pub live: SocketAddr,
    pub metrics: SocketAddr,
}

/// Nobody listens there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Default for Ready {
    fn default() -> Self {
        Self {
            ready: false,
            web: NOWHERE,
            login: NOWHERE,
            gateway: NOWHERE,
            media: NOWHERE,
            live: NOWHERE,
            metrics: NOWHERE,
        }
    }
}

/// How a platform is started.
#[derive(Clone)]
pub struct Options {
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
}

impl Default for Options {
    /// Every listener on a free port of the loopback address.
    fn default() -> Self {
        let mut options = Self { args: Vec::new(), env: Vec::new() };
        for listener in ["WEB", "LOGIN", "GATEWAY", "MEDIA", "LIVE", "METRICS"] {
            options = options.env(&format!("MOTORCADE__{listener}__LISTEN"), "127.0.0.1:0");
        }
        options.env("MOTORCADE_ADMIN_PASSWORD", PASSWORD)
    }
}

impl Options {
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(n, _)| n != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }
}

/// A running `motorcade serve`. Dropping it kills it and everything that it started.
pub struct Platform {
    pub ready: Ready,
    pub data: PathBuf,
    /// Everything that it wrote to standard error.
    pub log: PathBuf,
    options: Options,
    child: Child,
    _folder: tempfile::TempDir,
}

/// How long a start may take: a first one makes a database.
const READY_WITHIN: Duration = Duration::from_secs(120);

impl Platform {
    pub fn start(options: Options) -> Self {
        // Short: PostgreSQL's socket path has to fit into 107 bytes.
        let folder = tempfile::Builder::new().prefix("mc").tempdir_in("/tmp").expect("a folder");
        // As root the private PostgreSQL runs as its own user, who must get there.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("the folder is ours");
        let data = folder.path().join("data");
        Self::start_in_folder(options, data, folder)
    }

    /// In a data folder that the test made and keeps.
    pub fn start_in(options: Options, data: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("mc").tempdir_in("/tmp").expect("a folder");
        Self::start_in_folder(options, data.to_owned(), folder)
    }

    fn start_in_folder(options: Options, data: PathBuf, folder: tempfile::TempDir) -> Self {
        let log = folder.path().join("log");
        let (child, ready) = spawn(&options, &data, &log);
        Self { ready, data, log, options, child, _folder: folder }
    }

    /// `kill -9` of the process; its PostgreSQL is left orphaned.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was ours");
    }

    /// Starts it again in the same folder. Ports are those of the options.
    pub fn restart(&mut self) {
        let (child, ready) = spawn(&self.options, &self.data, &self.log);
        self.child = child;
        self.ready = ready;
    }

    /// How it ended; None while it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("it was ours")
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        signal(self.child.id(), "TERM");
    }

    /// Asks it to end and waits until it has.
    pub fn stop(&mut self) {
        self.terminate();
        self.child.wait().expect("it was ours");
    }

    /// Makes every further start use the ports that this one got.
    pub fn keep_ports(&mut self) {
        let mut options = std::mem::take(&mut self.options);
        for (name, addr) in [
            ("WEB", self.ready.web),
            ("LOGIN", self.ready.login),
            ("GATEWAY", self.ready.gateway),
            ("MEDIA", self.ready.media),
            ("LIVE", self.ready.live),
            ("METRICS", self.ready.metrics),
        ] {
            options = options.env(&format!("MOTORCADE__{name}__LISTEN"), &addr.to_string());
        }
        self.options = options;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ready.web)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        signal(self.child.id(), "TERM");
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(postmaster) = postmaster_pid(&self.data) {
            signal(postmaster, "KILL");
        }
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- end of the platform's log ---");
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// An HTTP client.
pub fn http() -> reqwest::Client {
    // An error only says that another test of this process was first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

/// The binary under test.
pub fn motorcade() -> Command {
    Command::new(env!("CARGO_BIN_EXE_motorcade"))
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).stderr(Stdio::null()).status();
}

/// The process number of the private PostgreSQL, while there is one.
pub fn postmaster_pid(data: &Path) -> Option<u32> {
    let file =
        walk(data).into_iter().find(|path| path.file_name().is_some_and(|name| name == "postmaster.pid"))?;
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && path.components().count() < dir.components().count() + 2 {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found
}

fn spawn(options: &Options, data: &Path, log: &Path) -> (Child, Ready) {
    let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("the log opens");
    let mut child = motorcade()
        .arg("serve")
        .arg("--data")
        .arg(data)
        .args(&options.args)
        .envs(options.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .expect("the binary starts");
    let stdout = child.stdout.take().expect("piped");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                break;
            }
        }
    });
    match told.recv_timeout(READY_WITHIN) {
        Ok(line) => {
            let ready: Ready =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("ready line {line:?}: {e}"));
            assert!(ready.ready);
            (child, ready)
        }
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("not ready; its log:\n{}", std::fs::read_to_string(log).unwrap_or_default());
        }
    }
}

/// Waits until `condition` gives something; panics with `what` when it does not in time.
pub fn wait_for<T>(what: &str, within: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < until, "waited {within:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// [`wait_for`] where asking takes its time.
pub async fn wait_until<T>(what: &str, within: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "waited {within:?} for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The folder of vectors and captures, or None (then say why you skip).
pub fn shared() -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let dir = std::env::var_os("MOTORCADE_TEST_SHARED").map_or_else(|| PathBuf::from(default), PathBuf::from);
    dir.is_dir().then_some(dir)
}
