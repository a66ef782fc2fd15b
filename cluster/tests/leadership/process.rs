//! One life of a node, and the fence that it has.

use cluster::{Call, Candidate, Epoch, Fence};

use super::Event;
use crate::simulation::etcd::Who;
use crate::simulation::schedules::Broken;
use crate::simulation::{Clock, Micros};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Runs,
    Frozen,
    Gone,
}

/// One life of a node: its candidate, and the shell around it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) who: Who,
    pub(super) clock: Clock,
    pub(super) candidate: Candidate,
    pub(super) state: State,
    /// What came while it was frozen.
    pub(super) mailbox: Vec<Event>,
    pub(super) under_way: Vec<Call>,
    pub(super) wakes_at: Option<Micros>,
    pub(super) led: Option<Epoch>,
    /// The epoch of an order that it had decided on when it was frozen.
    pub(super) in_hand: Option<Epoch>,
    pub(super) fence: Watched,
}

/// A fence, and what this simulation knows of it by itself.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) fence: Fence,
    let_in: Epoch,
}

impl Watched {
    /// Whether the order was let in.
    pub(super) fn order(&mut self, epoch: Epoch) -> Result<bool, Broken> {
        match self.fence.admit(epoch) {
            Ok(()) if epoch < self.let_in => {
                Err(format!("a fence let in an order of epoch {epoch} after one of {}", self.let_in))
            }
            Ok(()) => {
                self.let_in = epoch;
                Ok(true)
            }
            Err(old) if old.seen <= epoch => Err(format!("a fence refused the newest epoch: {old}")),
            Err(_) => Ok(false),
        }
    }
}
