//! Backups: a logical dump in a folder of its own, with a manifest.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What stands beside a dump. Written last: a folder without it is no backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the folder, 1.
    pub format: u32,
    /// When the dump began.
    pub created_at: DateTime<Utc>,
    /// Version of motorcade that wrote it.
    pub motorcade_version: String,
    /// Major version of the PostgreSQL server.
    pub postgres_major: u32,
    /// The newest migration that had run.
    pub schema_version: String,
    /// Length of the dump, bytes.
    pub dump_bytes: u64,
    /// SHA-256 of the dump, hexadecimal.
    pub dump_sha256: String,
}

/// Why a backup could not be taken or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target folder has something in it.
    #[error("{0} is not empty")]
    NotEmpty(String),
}

/// Dumps the database at `conninfo` into the folder `to`, which must be empty or not exist.
pub async fn backup(conninfo: &str, to: &Path) -> Result<Manifest, BackupError> {
    todo!()
}

/// Restores the backup in the folder `from` into the database at `conninfo`, which must be empty.
pub async fn restore_into(conninfo: &str, from: &Path) -> Result<Manifest, BackupError> {
    todo!()
}
