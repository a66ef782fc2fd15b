//! Whether the database is away, as the last attempt found it: what one finds out, the others need not wait for.
//!
//! Asks nothing itself; whoever works with the database says what it met.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::DbError;

/// Shared by those of a role who can do without the database for a time. While it is away, none of them waits
/// for it but the one task that tries again and again.
#[derive(Debug, Default)]
pub struct DatabaseState {
    away: AtomicBool,
    /// Wakes the task that looks whether it is back.
    pub look: Notify,
}

impl DatabaseState {
    /// Whether it was away at the last attempt. Not away where nobody has tried yet.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// An attempt failed with `error` because the database cannot be reached, or not in time.
    pub fn lost(&self, error: &DbError) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the database is away");
        }
        self.look.notify_one();
    }

    /// An attempt succeeded.
    pub fn back(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back");
        }
    }
}
