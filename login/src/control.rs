//! What a node does with its login server from outside.

use std::sync::Arc;

use cluster::Counts as _;
use model::TerminalId;
use tokio::task::AbortHandle;

use crate::Stats;
use crate::desk::Desk;

/// A hand on a running login server. Cheap to clone; does not keep it running.
#[derive(Clone)]
pub struct Control {
    pub(crate) desk: Arc<Desk>,
    /// The task that takes connections.
    pub(crate) listener: AbortHandle,
}

impl Control {
    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        self.desk.counters.snapshot()
    }

    /// How many terminals were sent to a gateway and have not arrived there yet.
    pub fn awaited(&self) -> usize {
        self.desk.dispatch.awaited()
    }

    /// Whether it takes connections.
    pub fn is_listening(&self) -> bool {
        !self.listener.is_finished()
    }

    /// Forgets what is remembered of a terminal's code: it was revoked, or the terminal deleted.
    pub fn forget(&self, terminal: TerminalId) {
        self.desk.door.forget(terminal);
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}
