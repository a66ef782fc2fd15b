//! A private PostgreSQL: started, adopted, watched and stopped with us.

use std::path::{Path, PathBuf};

use crate::{BackupError, Manifest};

/// Settings of the private server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateSettings {
    /// The platform's data folder; the server lives in `postgres` below it.
    pub data: PathBuf,
    /// Folder of PostgreSQL's binaries; None searches.
    pub binaries: Option<PathBuf>,
    /// Memory for shared buffers, MB.
    pub shared_buffers_mb: u32,
    /// Most connections.
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
    /// Another motorcade uses the folder.
    #[error("{0} is in use by another motorcade")]
    InUse(String),
}

/// A running private server. Dropping it without [`stop`](Self::stop) leaves the server running, to be
/// adopted by the next start.
pub struct PrivateServer {}

impl PrivateServer {
    /// Starts the server of a data folder, makes it where it is not there, or adopts one that survived us.
    pub async fn start(settings: PrivateSettings) -> Result<Self, PrivateError> {
        todo!()
    }

    /// How to connect to it.
    pub fn conninfo(&self) -> &str {
        todo!()
    }

    /// The postmaster's process id now; None while it is down.
    pub fn pid(&self) -> Option<u32> {
        todo!()
    }

    /// Stops the server: sessions are cut, everything committed is on disk.
    pub async fn stop(self) -> Result<(), PrivateError> {
        todo!()
    }

    /// Dumps its database into the folder `to`.
    pub async fn backup(&self, to: &Path) -> Result<Manifest, BackupError> {
        todo!()
    }

    /// Restores the backup in `from` into a data folder that holds no server yet; leaves it stopped.
    pub async fn restore(from: &Path, into: PrivateSettings) -> Result<Manifest, BackupError> {
        todo!()
    }
}
