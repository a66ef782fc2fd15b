//! What the tasks of one login server share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::terminal::Door;
use cluster::dispatch::{Assignment, Candidates, Dispatcher};
use cluster::proxy::ClusterSecret;
use cluster::trace::{Heralds, Party, StepTaken, Trace, Traceparent};
use cluster::{LinkChange, LinkStamp, NodeId, Placement};
use db::{DatabaseState, Db};
use model::TerminalId;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::stats::Counters;
use crate::stubborn::Stubborn;
use crate::{Clients, Settings};

/// How often it is looked whether a database that is away is back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which gateways there are, as this node sees them now.
pub trait Gateways: Send + Sync {
    /// All of them, the unfit ones too.
    fn candidates(&self) -> Candidates;
}

/// Shared by all tasks of a login server.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) door: Door,
    pub(crate) gateways: Arc<dyn Gateways>,
    pub(crate) dispatcher: Arc<Mutex<Dispatcher>>,
    pub(crate) secret: ClusterSecret,
    pub(crate) clients: Arc<dyn Clients>,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) trace: Trace,
    pub(crate) heralds: Arc<dyn Heralds>,
    pub(crate) stubborn: Stubborn,
    pub(crate) splices: Semaphore,
    pub(crate) counters: Arc<Counters>,
}

impl Desk {
    /// The gateway for a terminal that has authenticated.
    pub(crate) fn assign(&self, terminal: TerminalId) -> Option<Assignment> {
        let candidates = self.gateways.candidates();
        self.dispatcher.lock().assign(Instant::now(), &candidates, terminal)
    }

    /// Records the step that sends `terminal` to `gateway`, and has the gateway told by which step it comes.
    pub(crate) fn sent(
        &self,
        after: Option<Traceparent>,
        gateway: &NodeId,
        terminal: TerminalId,
        taken: impl FnOnce(Party) -> StepTaken,
    ) -> Option<Traceparent> {
        let context = self.trace.record(after, taken)?;
        self.heralds.on_its_way(gateway, terminal, context);
        Some(context)
    }
}

/// Hears of the terminals that gateways hold, so that they do not count as on their way any more. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrivals {
    pub(crate) dispatcher: Arc<Mutex<Dispatcher>>,
}

impl Arrivals {
    /// All links of `gateway`.
    pub fn told_all(&self, gateway: &NodeId, links: &[(TerminalId, LinkStamp)]) {
        let mut dispatcher = self.dispatcher.lock();
        for (terminal, _) in links {
            dispatcher.listed(*terminal, gateway);
        }
    }

    /// One link of `gateway` changed.
    pub fn told(&self, gateway: &NodeId, change: LinkChange) {
        if change.is_up {
            let now = Instant::now();
            self.dispatcher.lock().arrived(now, change.terminal, gateway, change.stamp.since_ms);
        }
    }

    /// How many terminals count as on their way.
    pub fn awaited(&self) -> usize {
        self.dispatcher.lock().reservations()
    }
}

/// Looks whether the database is back, each time that it was found away, until `stop`.
pub(crate) async fn look_for_the_database(db: Db, state: Arc<DatabaseState>, stop: CancellationToken) {
    while stop.run_until_cancelled(state.look.notified()).await.is_some() {
        while state.is_away() && stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            if db.healthy().await {
                state.back();
            }
        }
    }
}
