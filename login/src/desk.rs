//! What the tasks of one login server share.

use std::sync::Arc;
use std::time::Duration;

use access::terminal::Door;
use cluster::dispatch::Dispatch;
use cluster::proxy::ClusterSecret;
use cluster::trace::{Heralds, Party, StepTaken, Trace, Traceparent};
use cluster::{NodeId, Placement};
use db::{DatabaseState, Db};
use model::TerminalId;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::stats::Counters;
use crate::stubborn::Stubborn;
use crate::{Clients, Settings};

/// How often it is looked whether a database that is away is back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shared by all tasks of a login server.
pub(crate) struct Desk {
    pub(crate) settings: Settings,
    pub(crate) door: Door,
    pub(crate) dispatch: Dispatch,
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
