//! The postmaster as a process: found by its pid file, started, asked to end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::binaries::Binaries;
use super::folder::{Folder, Owner};
use super::{PrivateError, PrivateSettings};

/// Beyond this size the server's messages begin anew, bytes.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A running postmaster: our child, or one that survived whoever started it.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: u32,
    pgdata: PathBuf,
    child: Option<Child>,
    /// Where its socket is, as its pid file says; ours may have moved since.
    sockets: Option<PathBuf>,
}

impl Postmaster {
    /// The postmaster of this data folder that lives, if one does. A pid file whose process is gone, or is
    /// another program by now, is stale.
    pub(super) fn surviving(pgdata: &Path) -> Option<Self> {
        let text = fs::read_to_string(pgdata.join("postmaster.pid")).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        // line 5 is the socket's folder; line 1 was the first
        let sockets = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
        let found = Self { pid, pgdata: pgdata.to_owned(), child: None, sockets };
        found.is_postmaster().then_some(found)
    }

    /// Removes lock files whose process is gone or another program by now: the server itself believes them
    /// as long as a process of that number is there. Both folders are the server's alone.
    fn clear_stale(pgdata: &Path, sockets: &Path) -> Result<(), PrivateError> {
        if Self::surviving(pgdata).is_some() {
            return Ok(());
        }
        for file in [pgdata.join("postmaster.pid"), sockets.join(".s.PGSQL.5432.lock")] {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let pid = text.lines().next().unwrap_or_default().trim();
            if !pid.is_empty() && Path::new("/proc").join(pid).exists() {
                fs::remove_file(&file)
                    .map_err(PrivateError::io(format!("remove the stale {}", file.display())))?;
            }
        }
        Ok(())
    }

    /// Starts one. It lives in a process group of its own, so that a Ctrl-C meant for us does not end it first.
    pub(super) fn spawn(
        folder: &Folder,
        sockets: &Path,
        binaries: &Binaries,
        settings: &PrivateSettings,
    ) -> Result<Self, PrivateError> {
        Self::clear_stale(folder.pgdata(), sockets)?;
        let (log, log_too) = open_log(&folder.log())?;
        let mut command = Command::new(binaries.program("postgres"));
        command.arg("-D").arg(folder.pgdata());
        for (name, value) in options(sockets, settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let child = as_user(&mut command, folder.owner())
            .current_dir(folder.pgdata())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .process_group(0)
            .spawn()
            .map_err(PrivateError::io("start postgres"))?;
        Ok(Self { pid: child.id(), pgdata: folder.pgdata().to_owned(), child: Some(child), sockets: None })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Where an adopted one has its socket.
    pub(super) fn sockets(&self) -> Option<&Path> {
        self.sockets.as_deref()
    }

    /// Whether it lives. Reaps our own child.
    pub(super) fn is_alive(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => {
                self.reap();
                self.is_postmaster()
            }
        }
    }

    /// Asks it to end: `SIGINT` is the fast shutdown, `SIGQUIT` the immediate one.
    pub(super) fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // it may have ended just now
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Takes the dead process off the table where that falls to us: as process 1 of a container we inherit
    /// orphans, and one that nobody takes off keeps its number, which its lock files name.
    fn reap(&self) {
        if let Ok(pid) = i32::try_from(self.pid) {
            // not our child, or not dead yet
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }

    /// Whether the process of this number is a postmaster of this data folder. (Its children rewrite their
    /// command lines, other programs have others; a dead one that nobody reaped has none.)
    fn is_postmaster(&self) -> bool {
        let Ok(line) = fs::read(format!("/proc/{}/cmdline", self.pid)) else { return false };
        let mut words = line.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        (program.ends_with(b"postgres") || program.ends_with(b"postmaster"))
            && words.any(|word| word == self.pgdata.as_os_str().as_encoded_bytes())
    }
}

/// Has `command` run as the server's user, with none of our groups.
pub(super) fn as_user(command: &mut Command, owner: Owner) -> &mut Command {
    if owner.other {
        command.uid(owner.uid.as_raw()).gid(owner.gid.as_raw());
    }
    // our environment may hold our secrets, and what it says of other servers is not meant for this one
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC")
}

/// Shortens the log where it has grown beyond its bound. The server appends, so it goes on at the start.
pub(super) fn bound_log(log: &Path) {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX)
        && let Ok(file) = OpenOptions::new().write(true).open(log)
        && let Err(error) = file.set_len(0)
    {
        tracing::warn!(%error, "the database server's log could not be shortened");
    }
}

fn open_log(log: &Path) -> Result<(File, File), PrivateError> {
    bound_log(log);
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log)
        .and_then(|file| Ok((file.try_clone()?, file)))
        .map_err(PrivateError::io(format!("open {}", log.display())))
}

/// The server's settings for our work: many small commits on few connections, little memory while idle.
/// `fsync` and `synchronous_commit` are left at their defaults (on) and checked by `Db::connect`.
fn options(sockets: &Path, settings: &PrivateSettings) -> Vec<(&'static str, String)> {
    let mut options = vec![
        ("unix_socket_directories", sockets.display().to_string()),
        ("shared_buffers", format!("{}MB", settings.shared_buffers_mb)),
        ("max_connections", settings.connections_max.to_string()),
    ];
    options.extend(
        [
            ("listen_addresses", ""),
            ("port", "5432"),
            ("unix_socket_permissions", "0700"),
            // a standby of the operator's own may follow; without senders its setting would be ignored in silence
            ("wal_level", "replica"),
            ("max_wal_senders", "2"),
            ("max_logical_replication_workers", "0"),
            // whoever asks about all of a track touches every day's table and its index
            ("max_locks_per_transaction", "512"),
            ("max_wal_size", "1GB"),
            ("checkpoint_timeout", "15min"),
            ("wal_compression", "on"),
            ("max_parallel_workers_per_gather", "0"),
            ("autovacuum_max_workers", "2"),
            ("work_mem", "8MB"),
            ("maintenance_work_mem", "64MB"),
            ("huge_pages", "off"),
            // short queries: compiling them costs more than it gains, and LLVM's memory besides
            ("jit", "off"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("lc_messages", "C"),
            ("log_min_messages", "warning"),
            // statements carry positions and hashes of passwords
            ("log_min_error_statement", "panic"),
            ("log_parameter_max_length_on_error", "0"),
            ("log_line_prefix", "%m [%p] "),
        ]
        .map(|(name, value)| (name, value.to_owned())),
    );
    options
}
