//! A private PostgreSQL: made, started, adopted, watched and stopped with us.
//!
//! The server lives in `postgres` below the platform's data folder and listens on a Unix socket only. It is
//! a process of its own: when we are killed it goes on, and the next start adopts it. Knows nothing of what
//! is stored in it beyond the name of its one database.

mod binaries;
mod folder;
mod postmaster;
mod supervisor;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

pub(crate) use binaries::Binaries;
use folder::Folder;
pub(crate) use folder::tail;
use postmaster::Postmaster;
use supervisor::Supervisor;

use crate::{BackupError, Manifest};

/// Settings of the private server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateSettings {
    /// The platform's data folder; the server lives in `postgres` below it. As root it must be reachable by
    /// the user `postgres`, as whom the server then runs.
    pub data: PathBuf,
    /// Folder of PostgreSQL's binaries; None searches `/usr/lib/postgresql/*/bin` and the `PATH`.
    pub binaries: Option<PathBuf>,
    /// Memory for shared buffers, MB. Only pages in use count as resident.
    pub shared_buffers_mb: u32,
    /// Most connections: the pools' sum, and some for backups and people.
    pub connections_max: u32,
}

impl PrivateSettings {
    /// The usual settings for a data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), binaries: None, shared_buffers_mb: 64, connections_max: 40 }
    }
}

/// Why the private server does not run.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// No PostgreSQL on this machine.
    #[error("no PostgreSQL found in {0}: install the package postgresql or set database.url")]
    NoBinaries(String),
    /// The data was made by another major version than any that is installed.
    #[error(
        "{folder} was made by PostgreSQL {data}, but only {installed} is installed: install postgresql-{data}, or restore a backup into an empty folder"
    )]
    VersionMismatch {
        /// The data folder.
        folder: String,
        /// Major version that made it.
        data: String,
        /// Major versions found.
        installed: String,
    },
    /// Another motorcade uses the folder.
    #[error("{0} is in use by another motorcade")]
    InUse(String),
    /// A folder belongs to somebody else.
    #[error("{folder} belongs to user {owner}, but the server runs as {expected}")]
    WrongOwner {
        /// Which folder.
        folder: String,
        /// Its owner's number.
        owner: u32,
        /// The server's user number.
        expected: u32,
    },
    /// The user `postgres` cannot pass through a folder.
    #[error("user postgres cannot reach the data: {0} is closed to it (chmod o+x, or another data folder)")]
    Unreachable(String),
    /// We are root, and there is no user `postgres`.
    #[error("running as root needs the user postgres, which does not exist")]
    NoUser,
    /// No socket folder with a path that is short enough.
    #[error("the socket path {0} is too long (107 bytes at most)")]
    PathTooLong(String),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which program.
        program: &'static str,
        /// What it said, its end.
        output: String,
    },
    /// The server did not become ready.
    #[error("the server is not ready: {0}")]
    NotReady(String),
    /// A file or process could not be handled.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl PrivateError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// A running private server, watched by a thread of its own: when it dies it is started again, with a
/// back-off from 0.1 to 5 s. Dropping this without [`stop`](Self::stop) leaves the server running, to be
/// adopted by the next start.
pub struct PrivateServer {
    conninfo: String,
    pid: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
    stop: mpsc::Sender<()>,
    watch: JoinHandle<Result<(), PrivateError>>,
}

impl PrivateServer {
    /// Name of the role and of the database.
    const NAME: &'static str = "motorcade";

    /// Starts the server of a data folder, makes it where it is not there, or adopts one that survived us,
    /// and returns once it answers.
    ///
    /// # Errors
    /// See [`PrivateError`]; nothing runs then that did not run before.
    pub async fn start(settings: PrivateSettings) -> Result<Self, PrivateError> {
        tokio::task::spawn_blocking(move || Self::start_blocking(&settings))
            .await
            .map_err(|_| PrivateError::NotReady("starting it was given up".into()))?
    }

    /// [`start`](Self::start) for callers outside of a runtime.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking(settings: &PrivateSettings) -> Result<Self, PrivateError> {
        let folder = Folder::open(&settings.data)?;
        let binaries = Binaries::find(settings.binaries.as_deref(), folder.pgdata())?;
        if !folder.is_made() {
            folder.make(&binaries, Self::NAME)?;
        }
        let mut supervisor = Supervisor::new(folder, binaries, settings);
        supervisor.start_or_adopt()?;
        supervisor.make_database(Self::NAME)?;
        let conninfo = supervisor.conninfo(Self::NAME);
        let (pid, stopping) = (supervisor.pid(), supervisor.stopping());
        let (stop, stopped) = mpsc::channel();
        let watch = std::thread::Builder::new()
            .name("postgres-watch".into())
            .spawn(move || supervisor.watch(&stopped))
            .map_err(PrivateError::io("start the thread that watches the server"))?;
        Ok(Self { conninfo, pid, stopping, stop, watch })
    }

    /// How to connect to it, in libpq's key-value form.
    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }

    /// The postmaster's process id now; None while it is down.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Acquire)).filter(|pid| *pid != 0)
    }

    /// Stops the server (a fast shutdown): sessions are cut, everything committed is on disk.
    ///
    /// # Errors
    /// Where it does not end in time; it is then killed, and recovers at the next start.
    pub async fn stop(self) -> Result<(), PrivateError> {
        tokio::task::spawn_blocking(move || self.stop_blocking())
            .await
            .map_err(|_| PrivateError::NotReady("stopping it was given up".into()))?
    }

    /// [`stop`](Self::stop) for callers outside of a runtime.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub fn stop_blocking(self) -> Result<(), PrivateError> {
        self.stopping.store(true, Ordering::Release);
        // the thread has ended early only if it panicked, which join tells
        let _ = self.stop.send(());
        self.watch
            .join()
            .map_err(|_| PrivateError::NotReady("the thread that watches the server died".into()))?
    }

    /// Restores the backup in `from` into a data folder that holds no server yet; leaves the server stopped.
    ///
    /// # Errors
    /// [`BackupError::NotEmpty`] where the folder already holds a server; see [`crate::restore_into`].
    pub async fn restore(from: &Path, into: PrivateSettings) -> Result<Manifest, BackupError> {
        if Folder::holds_server(&into.data) {
            return Err(BackupError::NotEmpty(into.data.display().to_string()));
        }
        crate::backup::check(from).await?;
        let server = Self::start(into).await?;
        let restored = crate::restore_into(&server.conninfo, from).await;
        server.stop().await?;
        restored
    }
}

/// How to connect to the private server of a platform that runs in the data folder `data`, for a command beside
/// it; None while there is none.
pub fn running_conninfo(data: &Path) -> Option<String> {
    let running = Postmaster::surviving(&data.join("postgres/pgdata"))?;
    running.sockets().map(|sockets| supervisor::conninfo(sockets, PrivateServer::NAME))
}
