//! What a node last heard of another one by asking it itself, each second: the keep-alives' outcome.
//!
//! The first witness of a node's life; its lease in the [`View`](crate::View) is the second. Knows not how it is
//! asked.

use std::collections::BTreeMap;

use crate::{Incarnation, Load, NodeId};

/// So many keep-alives in a row without an answer, and a node counts as out of sight.
pub const MISSED_MAX: u32 = 3;

/// A node whose clock is further off than this is not worked with, milliseconds. Stamps of calls allow three times
/// as much, so that a node is given up for its clock before its calls fail.
pub const CLOCK_OFFSET_MAX_MS: i64 = 10_000;

/// What was heard of a node that has answered at least once.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Which life of it answered last.
    pub incarnation: Incarnation,
    /// How many keep-alives in a row it left unanswered; 0 after an answer.
    pub missed: u32,
    /// What it carried at its last answer.
    pub load: Load,
    /// When it measured that, by its own clock, Unix milliseconds.
    pub measured_at_ms: i64,
    /// Its clock less ours, milliseconds.
    pub clock_offset_ms: i64,
    /// Whether it said that it is draining.
    pub is_draining: bool,
    /// The spools of which it keeps a copy that is not stored yet: whose, and of which life.
    pub copies: Vec<(NodeId, Incarnation)>,
}

impl Sighting {
    /// Whether it answers.
    pub fn is_in_sight(&self) -> bool {
        self.missed < MISSED_MAX
    }

    /// Whether its clock agrees with ours.
    pub fn has_right_clock(&self) -> bool {
        self.clock_offset_ms.unsigned_abs() <= CLOCK_OFFSET_MAX_MS.unsigned_abs()
    }
}

/// The sightings of one node, itself included. Who never answered has none.
pub type Sightings = BTreeMap<NodeId, Sighting>;
