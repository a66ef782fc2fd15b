//! The latest-status table: whose each terminal is, where it is, whether it is online; in memory, so that neither
//! a status call nor an event costs a query.
//!
//! Filled from the database at start, then fed by events. A change made through this API is in it before the
//! change is answered; what others change is met at the next reading.

mod fleet;
mod keeper;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cluster::Events;
use db::Db;
use model::{Scope, TerminalId, VehicleId};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use fleet::{Fleet, Place, Terminal};
use keeper::{Follower, Keeper, Request};

/// Questions that wait for the keeper at most; whoever has one more waits with it.
const REQUESTS_MAX: usize = 1_024;

/// How long a call waits for the first reading after the start.
const FILLED_WITHIN: Duration = Duration::from_secs(5);

/// The table. Reading it takes no lock and never waits, but for the first reading.
pub(crate) struct Latest {
    fleet: Arc<ArcSwap<Fleet>>,
    requests: mpsc::Sender<Request>,
    filled: watch::Receiver<bool>,
    /// Has the keeper read the whole.
    missed: Arc<Notify>,
}

/// The table cannot say: the database was away since the start, or since somebody changed a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the latest positions are not read yet")]
pub(crate) struct NotRead;

impl Latest {
    /// The table, and the tasks that keep it until they are dropped.
    pub(crate) fn start(db: Db, events: &dyn Events) -> (Self, [AbortOnDropHandle<()>; 2]) {
        let fleet = Arc::new(ArcSwap::<Fleet>::default());
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (fill, filled) = watch::channel(false);
        let missed = Arc::new(Notify::new());
        let follower = Follower::new(Arc::clone(&fleet), requests.clone(), Arc::clone(&missed));
        let keeper = Keeper::new(db, Arc::clone(&fleet), asked, fill, Arc::clone(&missed));
        // Subscribed before the first reading: nothing falls between the two.
        let events = events.subscribe(model::Filter::default());
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(keeper.run())),
            AbortOnDropHandle::new(tokio::spawn(follower.run(events))),
        ];
        (Self { fleet, requests, filled, missed }, tasks)
    }

    /// The fleet as it stands, for somebody with `scope`.
    ///
    /// # Errors
    /// [`NotRead`] where the database did not answer since the start, for some seconds at least, or since a terminal
    /// that `scope` saw was changed.
    pub(crate) async fn fleet(&self, scope: &Scope) -> Result<Arc<Fleet>, NotRead> {
        if !*self.filled.borrow() {
            let mut filled = self.filled.clone();
            let filled = tokio::time::timeout(FILLED_WITHIN, filled.wait_for(|filled| *filled)).await;
            if !matches!(filled, Ok(Ok(_))) {
                return Err(NotRead);
            }
        }
        let fleet = self.fleet.load_full();
        if fleet.doubts(scope) { Err(NotRead) } else { Ok(fleet) }
    }

    /// Where `terminal` belongs; one that is not in the table yet is asked for by itself. None where there is no such
    /// terminal.
    ///
    /// # Errors
    /// [`NotRead`] where the database did not answer since it was changed or first heard of.
    pub(crate) async fn place(&self, terminal: TerminalId) -> Result<Option<Place>, NotRead> {
        if let Some(known) = self.fleet.load().place(terminal) {
            return known.map(Some);
        }
        let (done, answered) = oneshot::channel();
        let asked = self.requests.send(Request::Place { terminal, done }).await;
        if asked.is_err() || !answered.await.unwrap_or(false) {
            return Err(NotRead);
        }
        self.fleet.load().place(terminal).transpose()
    }

    /// These terminals were made, changed, moved or deleted; returns when the table has them as they are now. Where
    /// the database cannot say, the table cannot either until it can: nobody sees them meanwhile who may not any
    /// more, and nobody is told that they are gone.
    pub(crate) async fn terminals_changed(&self, terminals: impl IntoIterator<Item = TerminalId>) {
        let terminals: Vec<TerminalId> = terminals.into_iter().collect();
        if !terminals.is_empty() {
            self.ask(|done| Request::Terminals { terminals, done }).await;
        }
    }

    /// This vehicle was changed, or perhaps it was; returns when the table has what it carries, as far as it knew of
    /// that, as it is now.
    pub(crate) async fn vehicle_changed(&self, vehicle: VehicleId) {
        let fleet = self.fleet.load_full();
        let carried = fleet.terminals().filter(|terminal| terminal.place().vehicle_id == Some(vehicle));
        self.terminals_changed(carried.map(|terminal| terminal.id())).await;
    }

    /// Something was perhaps made whose key nobody knows: the whole is read anew, which is not waited for.
    pub(crate) fn missed(&self) {
        self.missed.notify_one();
    }

    /// The tree of companies was changed; returns when the table has it as it is now.
    pub(crate) async fn companies_changed(&self) {
        self.ask(|done| Request::Companies { done }).await;
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<()>) -> Request) {
        let (done, answered) = oneshot::channel();
        // An error says that the keeper is gone: the server stops.
        if self.requests.send(request(done)).await.is_ok() {
            let _ = answered.await;
        }
    }
}
