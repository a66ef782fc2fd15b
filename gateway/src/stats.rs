//! What a gateway did and met, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::copies::{CopyStats, Copying, Kept};
use crate::gate::Gate;

/// Numbers of a gateway since its start, and its state now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Terminals that are authenticated now.
    pub terminals: usize,
    /// Reports that came in; a resend counts again.
    pub received: u64,
    /// Reports that were safe when the terminal was answered (in the database or in the spool).
    pub acknowledged: u64,
    /// Reports that became a row.
    pub inserted: u64,
    /// Reports that were stored already.
    pub repeated: u64,
    /// Reports that can never be stored and lie in quarantine.
    pub quarantined: u64,
    /// Reports that went to the spool.
    pub spooled: u64,
    /// Reports that went from the spool to the database.
    pub drained: u64,
    /// Reports of the spool that a peer took a copy of; once more for each further peer.
    pub copied: u64,
    /// Batches of others' spools that were taken.
    pub kept: u64,
    /// Reports that went from others' copies to the database.
    pub adopted: u64,
    /// Bytes in the spool now.
    pub spool_bytes: u64,
    /// Bytes of torn or damaged records that were passed over, and of segments that the disk did not give back.
    pub spool_cut_bytes: u64,
    /// Whether the spool's disk failed, so that nothing more is acknowledged from it.
    pub spool_failed: bool,
    /// Who has the copy of the spool now; None while nobody does.
    pub copied_to: Option<String>,
    /// Copies of others' spools that lie here.
    pub copies: Vec<CopyStats>,
    /// Whether the database was away at the last attempt.
    pub database_away: bool,
    /// Trouble by [kind](crate::Trouble::name); kinds that never happened are left out.
    pub trouble: BTreeMap<&'static str, u64>,
}

impl Stats {
    pub(crate) fn of(gate: &Gate) -> Self {
        let counts = &gate.counts;
        Self {
            terminals: gate.links.len(),
            received: counts.received.read(),
            acknowledged: counts.acknowledged.read(),
            inserted: counts.inserted.read(),
            repeated: counts.repeated.read(),
            quarantined: counts.quarantined.read(),
            spooled: counts.spooled.read(),
            drained: counts.drained.read(),
            copied: counts.copied.read(),
            kept: counts.kept.read(),
            adopted: counts.adopted.read(),
            spool_bytes: gate.spool.bytes(),
            spool_cut_bytes: gate.spool.cut_bytes(),
            spool_failed: gate.spool.failed(),
            copied_to: gate.copying.as_ref().and_then(Copying::peer),
            copies: gate.kept.as_ref().map(Kept::stats).unwrap_or_default(),
            database_away: gate.database.is_away(),
            trouble: gate.troubles.snapshot(),
        }
    }
}
