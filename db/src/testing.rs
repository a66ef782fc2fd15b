//! For tests: one private server for the process, a fresh migrated database for each test.

use crate::Db;

/// A database of its own, gone when dropped.
pub struct TestDb {
    db: Db,
    conninfo: String,
}

impl TestDb {
    /// A fresh migrated database on the process's private server.
    pub async fn new() -> Self {
        todo!()
    }

    /// The handle.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How to connect to it.
    pub fn conninfo(&self) -> &str {
        &self.conninfo
    }
}
