//! What a node does with its gateway from outside: numbers, the leader's orders, links that another gateway has taken
//! over, terminals that a login server has sent.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use cluster::trace::{Expects, Traceparent};
use cluster::{Epoch, LinkStamp, Order, OrderError, Orders};
use model::TerminalId;
use tokio::task::AbortHandle;

use crate::gate::Gate;
use crate::{Stats, Unready, readiness, redirect};

/// A hand on a running gateway. Cheap to clone; does not keep it running.
#[derive(Clone)]
pub struct Control {
    pub(crate) gate: Arc<Gate>,
    /// The task that takes connections.
    pub(crate) listener: AbortHandle,
}

impl Control {
    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.gate)
    }

    /// Whether the terminal has an authenticated link here.
    pub fn holds(&self, terminal: TerminalId) -> bool {
        self.gate.links.of(terminal).is_some()
    }

    /// Whether it takes connections and can acknowledge reports now. `database_is_there`: as the node found it.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self, database_is_there: bool) -> Result<(), Unready> {
        if self.listener.is_finished() {
            return Err(Unready::Listener);
        }
        readiness::acknowledges(&self.gate, database_is_there)
    }

    /// Closes the terminal's link if it is older than the one of `stamp`, which another gateway has. Whether it was.
    pub fn close_stale(&self, terminal: TerminalId, stamp: LinkStamp) -> bool {
        self.gate.links.of(terminal).is_some_and(|link| link.supersede(stamp))
    }

    /// Whether this node is a member of its cluster, as it changes. While it is, sessions that others close because they
    /// took it for lost are opened again.
    pub fn stands(&self, is_member: bool) {
        self.gate.presence.stands(is_member);
    }

    /// Sends every terminal away that is here or comes, at a bounded rate, as [`release`](Self::release) does.
    pub fn drain(&self) {
        redirect::drain(&self.gate, true);
    }

    /// Ends a [`drain`](Self::drain): who was not told yet to go stays.
    pub fn undrain(&self) {
        redirect::drain(&self.gate, false);
    }

    /// Lets `terminals` more terminals go, a hundred a second at most: they are told to go back to their own server
    /// (0x8105), those first that are known to obey, and who does not go is closed. Gives how many that are: no more
    /// than there are.
    pub fn release(&self, terminals: usize) -> usize {
        redirect::release(&self.gate, terminals)
    }

    /// Returns when no terminal has a link.
    pub async fn drained(&self) {
        // An error says that the gate is gone, which this holds.
        let _ = self.gate.links.count().wait_for(|count| *count == 0).await;
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}

impl Expects for Control {
    fn expect(&self, terminal: TerminalId, context: Traceparent) {
        if self.gate.trace.is_on() {
            self.gate.awaited.put(Instant::now(), terminal, context);
        }
    }
}

#[async_trait]
impl Orders for Control {
    async fn order(&self, epoch: Epoch, order: Order) -> Result<(), OrderError> {
        match order {
            Order::Release { terminals } => {
                let going = self.release(usize::try_from(terminals).unwrap_or(usize::MAX));
                tracing::info!(%epoch, "the leader has {going} terminals go elsewhere");
                Ok(())
            }
        }
    }
}
