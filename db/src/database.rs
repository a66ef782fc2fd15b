//! The handle on the database: three pools, each with bounded waits.

use std::time::Duration;

use crate::DbError;

/// Limits of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Most connections.
    pub connections: usize,
    /// Longest wait for a free connection, milliseconds.
    pub wait_timeout_ms: u64,
    /// Longest time for a statement or transaction, milliseconds.
    pub query_timeout_ms: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { connections: 4, wait_timeout_ms: 5_000, query_timeout_ms: 10_000 }
    }
}

/// Settings of the pools and of what is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbSettings {
    /// For storing reports.
    pub write: PoolSettings,
    /// For queries by people: lists, tracks.
    pub read: PoolSettings,
    /// For log-ins, sessions, changes by people: short, and never behind a report or a list.
    pub control: PoolSettings,
    /// Longest time to open a connection, milliseconds. Above 2,000 for each host of the URL.
    pub connect_timeout_ms: u64,
    /// How long positions are kept, days; None: for ever.
    pub retention_days: Option<u32>,
}

impl Default for DbSettings {
    fn default() -> Self {
        Self {
            write: PoolSettings::default(),
            read: PoolSettings { connections: 6, ..PoolSettings::default() },
            control: PoolSettings { connections: 2, wait_timeout_ms: 3_000, query_timeout_ms: 5_000 },
            connect_timeout_ms: 5_000,
            retention_days: None,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    _wait: Duration,
}

impl Db {
    /// Connects to the database at `conninfo` (a URL or libpq's key-value form; with several hosts,
    /// `target_session_attrs=read-write` follows the primary). The schema must be there: see [`crate::migrate`].
    ///
    /// # Errors
    /// [`DbError::Unsafe`] where the server runs with `fsync` or `synchronous_commit` off.
    pub async fn connect(conninfo: &str, settings: DbSettings) -> Result<Self, DbError> {
        todo!()
    }

    /// Whether the database answers now, within the control pool's limits.
    pub async fn healthy(&self) -> bool {
        todo!()
    }
}
