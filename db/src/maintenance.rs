//! What time does to stored things: days made ahead, old days dropped, lapsed logins forgotten.

use chrono::{DateTime, Utc};

use crate::{Db, DbError};

/// What one round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Days of positions made ready.
    pub days_made: usize,
    /// Days of positions dropped.
    pub days_dropped: usize,
    /// Positions without a day of their own that were dropped.
    pub positions_dropped: usize,
    /// Lapsed logins and sessions forgotten.
    pub logins_forgotten: usize,
}

impl Db {
    /// One round; call it at start and then every hour or so. Safe to run from several nodes at once.
    pub async fn maintain(&self, now: DateTime<Utc>) -> Result<Maintained, DbError> {
        todo!()
    }
}
