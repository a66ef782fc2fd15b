//! Whether a gateway can do its work now: take connections, and acknowledge what it is told.

use crate::gate::Gate;

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// The task that takes connections has ended.
    #[error("its port takes no connections any more")]
    Listener,
    /// Nothing is acknowledged from the spool before the next start.
    #[error("the database is away and the spool's disk failed")]
    SpoolFailed,
    /// The last report found no room.
    #[error("the database is away and the spool is full")]
    SpoolFull,
    /// No other gateway of the cluster is there, or each was given up just now.
    #[error("the database is away and no other gateway keeps a copy of the spool")]
    NoPeer,
}

/// Whether a report that comes now can be acknowledged.
pub(crate) fn acknowledges(gate: &Gate, database_is_there: bool) -> Result<(), Unready> {
    if database_is_there && !gate.database.is_away() {
        Ok(())
    } else if gate.spool.failed() {
        Err(Unready::SpoolFailed)
    } else if gate.spool.is_full() {
        Err(Unready::SpoolFull)
    } else if gate.copying.as_ref().is_some_and(|copying| copying.has_nobody()) {
        Err(Unready::NoPeer)
    } else {
        Ok(())
    }
}
