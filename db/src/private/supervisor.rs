//! Watches over the server: brings it up, starts it again when it dies, takes it down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use nix::sys::signal::Signal;
use tracing::{error, info, warn};

use super::binaries::Binaries;
use super::folder::{Folder, tail};
use super::postmaster::{Postmaster, bound_log};
use super::{PrivateError, PrivateSettings};

/// How often the server's process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a starting server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long a server may take to be ready; after a crash it replays up to a gigabyte of log first.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// How long a survivor may take to answer before it is taken for hung and replaced.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a fast shutdown may take (it writes a checkpoint).
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How long a harder one may take.
const KILL_WITHIN: Duration = Duration::from_secs(10);
/// First and longest pause before another attempt to start a server that died.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A server that lived this long starts over with the first pause.
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// How often the log's size is looked at.
const LOG_LOOK_EVERY: Duration = Duration::from_secs(60);

/// The server's process and what is needed to start another.
pub(super) struct Supervisor {
    folder: Folder,
    binaries: Binaries,
    settings: PrivateSettings,
    postmaster: Option<Postmaster>,
    sockets: PathBuf,
    pid: Arc<AtomicU32>,
    stopping: Arc<AtomicBool>,
}

impl Supervisor {
    pub(super) fn new(folder: Folder, binaries: Binaries, settings: &PrivateSettings) -> Self {
        let sockets = folder.sockets().to_owned();
        let settings = settings.clone();
        Self {
            folder,
            binaries,
            settings,
            postmaster: None,
            sockets,
            pid: Arc::default(),
            stopping: Arc::default(),
        }
    }

    /// The postmaster's process id, kept up to date; 0 while there is none.
    pub(super) fn pid(&self) -> Arc<AtomicU32> {
        self.pid.clone()
    }

    /// Set by whoever is about to tell us to stop: a start that takes long, after a crash, is then given up.
    pub(super) fn stopping(&self) -> Arc<AtomicBool> {
        self.stopping.clone()
    }

    /// How to connect to database `name`; role and first database share their name.
    pub(super) fn conninfo(&self, name: &str) -> String {
        conninfo(&self.sockets, name)
    }

    /// Adopts the survivor where there is one that answers; starts a server otherwise.
    pub(super) fn start_or_adopt(&mut self) -> Result<(), PrivateError> {
        if let Some(survivor) = Postmaster::surviving(self.folder.pgdata()) {
            let pid = survivor.pid();
            self.take(survivor);
            match self.await_ready(ANSWER_WITHIN) {
                Ok(()) => {
                    info!(pid, "adopted the running database server {pid}");
                    return Ok(());
                }
                Err(error) => {
                    warn!(pid, %error, "the running database server {pid} does not answer and is replaced");
                    self.end()?;
                }
            }
        }
        self.start()
    }

    /// Makes the platform's database where it is not there.
    pub(super) fn make_database(&self, name: &str) -> Result<(), PrivateError> {
        let failed = |what: String| PrivateError::NotReady(what);
        if PgConnection::establish(&self.conninfo(name)).is_ok() {
            return Ok(());
        }
        PgConnection::establish(&self.conninfo("postgres"))
            .map_err(|error| failed(error.to_string()))?
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .map_err(|error| failed(error.to_string()))
    }

    /// Watches until told to stop (then takes the server down) or until nobody can tell any more (then
    /// leaves it running).
    pub(super) fn watch(mut self, stopped: &Receiver<()>) -> Result<(), PrivateError> {
        let mut pause = BACKOFF.0;
        let mut up_since = Instant::now();
        let mut log_looked = Instant::now();
        loop {
            match stopped.recv_timeout(LOOK_EVERY) {
                Ok(()) => return self.end(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if log_looked.elapsed() >= LOG_LOOK_EVERY {
                log_looked = Instant::now();
                bound_log(&self.folder.log());
            }
            if self.postmaster.as_mut().is_some_and(Postmaster::is_alive) {
                continue;
            }
            if self.postmaster.take().is_some() {
                self.pid.store(0, Ordering::Release);
                warn!("the database server died and is started again");
                if up_since.elapsed() >= STEADY_AFTER {
                    pause = BACKOFF.0;
                }
            }
            if let Err(error) = self.start_or_adopt() {
                error!(%error, "the database server did not start, next attempt in {pause:?}");
                self.end().unwrap_or_else(|error| error!(%error, "the half-started database server stays"));
                match stopped.recv_timeout(pause) {
                    Ok(()) => return self.end(),
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                    Err(RecvTimeoutError::Timeout) => {}
                }
                pause = (pause * 2).min(BACKOFF.1);
            } else {
                up_since = Instant::now();
                info!("the database server runs again");
            }
        }
    }

    fn start(&mut self) -> Result<(), PrivateError> {
        // where an adopted one had its socket: connections are already made by that path
        let started = Postmaster::spawn(&self.folder, &self.sockets, &self.binaries, &self.settings)?;
        self.take(started);
        let ready = self.await_ready(READY_WITHIN);
        if ready.is_err() {
            self.end()?;
        }
        ready
    }

    fn take(&mut self, postmaster: Postmaster) {
        self.pid.store(postmaster.pid(), Ordering::Release);
        if let Some(sockets) = postmaster.sockets().filter(|_| postmaster.is_adopted()) {
            self.sockets = sockets.to_owned();
        }
        self.postmaster = Some(postmaster);
    }

    /// Waits until the server answers; gives up early where its process ends.
    fn await_ready(&mut self, within: Duration) -> Result<(), PrivateError> {
        let deadline = Instant::now() + within;
        let conninfo = format!("{} connect_timeout=5", self.conninfo("postgres"));
        loop {
            let refusal = match PgConnection::establish(&conninfo) {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if !self.postmaster.as_mut().is_some_and(Postmaster::is_alive) {
                let log = std::fs::read(self.folder.log()).unwrap_or_default();
                return Err(PrivateError::NotReady(format!("it ended: {}", tail(&log))));
            }
            if Instant::now() >= deadline || self.stopping.load(Ordering::Acquire) {
                return Err(PrivateError::NotReady(refusal));
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Takes the server down: fast, then at once, then by force (it recovers from its log at the next start).
    fn end(&mut self) -> Result<(), PrivateError> {
        let Some(mut postmaster) = self.postmaster.take() else { return Ok(()) };
        for (signal, within) in
            [(Signal::SIGINT, STOP_WITHIN), (Signal::SIGQUIT, KILL_WITHIN), (Signal::SIGKILL, KILL_WITHIN)]
        {
            postmaster.signal(signal);
            let deadline = Instant::now() + within;
            while Instant::now() < deadline {
                if !postmaster.is_alive() {
                    self.pid.store(0, Ordering::Release);
                    return Ok(());
                }
                std::thread::sleep(ASK_EVERY);
            }
            warn!("the database server did not end within {within:?} of {signal}");
        }
        let pid = postmaster.pid();
        self.postmaster = Some(postmaster);
        Err(PrivateError::NotReady(format!("process {pid} cannot be ended")))
    }
}

/// How to connect to database `name` over the socket in `sockets`.
pub(super) fn conninfo(sockets: &Path, name: &str) -> String {
    let quoted = sockets.display().to_string().replace('\\', r"\\").replace('\'', r"\'");
    format!("host='{quoted}' port=5432 user=motorcade dbname={name}")
}
