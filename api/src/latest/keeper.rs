//! Keeps the table: one task follows the events, another asks the database.
//!
//! All questions to the database go out one after the other, so that an answer is never older than the one before
//! it. Nobody holds a lock; a slow reader of the table slows neither task, and neither slows a gateway: a
//! subscriber that lags is told what it missed, and reads anew.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::Utc;
use cluster::{EventStream, Lagged};
use db::{Db, DbError, LatestPosition, Page};
use futures_util::StreamExt as _;
use model::{CompanyId, Event, Scope, TerminalId};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::fleet::Fleet;

/// How often the whole is read again without being asked: so late, at most, is seen what others changed.
const PERIOD: Duration = Duration::from_secs(10);
/// The least pause between two readings, however often events are missed.
const PAUSE: Duration = Duration::from_millis(200);
/// How soon a reading that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Terminals asked for in one question: as many as a page of the whole has.
const AT_ONCE: usize = Page::LIMIT_MAX as usize;

/// What the keeper is asked to read at once.
pub(super) enum Request {
    /// These terminals, because somebody changed them here.
    Terminals {
        /// Which.
        terminals: Vec<TerminalId>,
        /// Told when it is done.
        done: oneshot::Sender<()>,
    },
    /// The tree of companies.
    Companies {
        /// Told when it is done.
        done: oneshot::Sender<()>,
    },
    /// The terminal of an event that is not in the table: it is new. The event waits with the question.
    Unknown {
        /// What happened.
        event: Box<Event>,
        /// When.
        at: Instant,
    },
}

/// Asks the database and exchanges the snapshot.
pub(super) struct Keeper {
    db: Db,
    fleet: Arc<ArcSwap<Fleet>>,
    asked: mpsc::Receiver<Request>,
    filled: watch::Sender<bool>,
    /// Something was missed: read the whole.
    missed: Arc<Notify>,
}

/// Follows the events.
pub(super) struct Follower {
    fleet: Arc<ArcSwap<Fleet>>,
    requests: mpsc::Sender<Request>,
    missed: Arc<Notify>,
}

impl Keeper {
    pub(super) fn new(
        db: Db,
        fleet: Arc<ArcSwap<Fleet>>,
        requests: mpsc::Sender<Request>,
        asked: mpsc::Receiver<Request>,
        filled: watch::Sender<bool>,
    ) -> (Self, Follower) {
        let missed = Arc::new(Notify::new());
        let follower = Follower { fleet: Arc::clone(&fleet), requests, missed: Arc::clone(&missed) };
        (Self { db, fleet, asked, filled, missed }, follower)
    }

    /// For ever.
    pub(super) async fn run(mut self) {
        let mut failing = false;
        loop {
            match self.read_all().await {
                Ok(()) => {
                    self.filled.send_replace(true);
                    failing = false;
                    self.answer_for(PAUSE, false).await;
                    self.answer_for(PERIOD, true).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(%error, "latest status of the fleet not read, tried again each second: {error}");
                    }
                    self.answer_for(RETRY, false).await;
                }
            }
        }
    }

    /// Answers requests for `time`, less where something is missed and `or_missed`.
    async fn answer_for(&mut self, time: Duration, or_missed: bool) {
        let missed = Arc::clone(&self.missed);
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            let request = tokio::select! {
                () = &mut over => return,
                // A notice during the reading or the pause was kept.
                () = missed.notified(), if or_missed => return,
                request = self.asked.recv() => request,
            };
            let Some(request) = request else { return over.await };
            self.answer(request).await;
        }
    }

    /// The companies, and every terminal page by page; requests are answered in between.
    async fn read_all(&mut self) -> Result<(), DbError> {
        self.read_companies().await?;
        let (mut page, mut after) = (Page::largest(), Bound::Unbounded);
        loop {
            while let Ok(request) = self.asked.try_recv() {
                self.answer(request).await;
            }
            let asked = Instant::now();
            let rows = self.db.latest_positions(&Scope::platform(), None, &page).await?;
            let last = match (&rows.next_cursor, rows.items.last()) {
                (Some(_), Some(last)) => Bound::Included(last.terminal_id),
                _ => Bound::Unbounded,
            };
            self.take(self.fleet.load().with_rows(&rows.items, asked, (after, last)));
            let (Some(next), Bound::Included(last)) = (rows.next_cursor, last) else { return Ok(()) };
            after = Bound::Excluded(last);
            page = page.at(next);
        }
    }

    async fn read_companies(&self) -> Result<(), DbError> {
        let mut parents: HashMap<CompanyId, Option<CompanyId>> = HashMap::new();
        let mut page = Page::largest();
        loop {
            let companies = self.db.companies(&Scope::platform(), &page).await?;
            parents.extend(companies.items.iter().map(|company| (company.id, company.parent_id)));
            let Some(next) = companies.next_cursor else { break };
            page = page.at(next);
        }
        self.take(Some(self.fleet.load().with_companies(parents)));
        Ok(())
    }

    fn take(&self, next: Option<Fleet>) {
        if let Some(next) = next {
            self.fleet.store(Arc::new(next));
        }
    }

    /// Answers `first` and, with it, whatever else waits.
    async fn answer(&mut self, first: Request) {
        let (mut terminals, mut companies) = (BTreeSet::new(), false);
        let (mut waiting, mut events) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Terminals { terminals: changed, done } => {
                    terminals.extend(changed);
                    waiting.push(done);
                }
                Request::Companies { done } => {
                    companies = true;
                    waiting.push(done);
                }
                Request::Unknown { event, at } => {
                    terminals.insert(event.terminal());
                    events.push((event, at));
                }
            }
            next = if terminals.len() < AT_ONCE { self.asked.try_recv().ok() } else { None };
        }
        if companies && let Err(error) = self.read_companies().await {
            warn!(%error, "tree of companies not read anew: {error}");
            self.missed.notify_one();
        }
        if !terminals.is_empty() {
            self.read_terminals(&terminals).await;
        }
        let (fleet, now, calendar) = (self.fleet.load(), Instant::now(), Utc::now());
        for (event, at) in events {
            match fleet.terminal(event.terminal()) {
                Some(terminal) => {
                    let ago = chrono::TimeDelta::from_std(now.saturating_duration_since(at));
                    terminal.happened(&event, at, calendar - ago.unwrap_or_default());
                }
                None => debug!("an event of terminal {}, which is not there", event.terminal()),
            }
        }
        for done in waiting {
            // An error says that nobody waits any more.
            let _ = done.send(());
        }
    }

    async fn read_terminals(&self, terminals: &BTreeSet<TerminalId>) {
        let asked = Instant::now();
        let wanted: Vec<TerminalId> = terminals.iter().copied().collect();
        let rows: Vec<LatestPosition> = match self.db.latest_positions_of(&wanted).await {
            Ok(rows) => rows,
            Err(error) => {
                warn!(%error, "{} changed terminals not read anew, left out until they are: {error}", wanted.len());
                self.missed.notify_one();
                Vec::new()
            }
        };
        self.take(self.fleet.load().with_rows(&rows, asked, terminals));
    }
}

impl Follower {
    /// Until the events end.
    pub(super) async fn run(self, mut events: EventStream) {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.happened(event),
                Err(Lagged(missed)) => {
                    warn!("latest status: {missed} events missed, everything is read anew");
                    for terminal in self.fleet.load().terminals() {
                        terminal.missed();
                    }
                    self.missed.notify_one();
                }
            }
        }
    }

    fn happened(&self, event: Event) {
        if matches!(event, Event::Alarm { .. } | Event::Stream { .. }) {
            return;
        }
        let at = Instant::now();
        match self.fleet.load().terminal(event.terminal()) {
            Some(terminal) => terminal.happened(&event, at, Utc::now()),
            None => {
                let unknown = Request::Unknown { event: Box::new(event), at };
                if self.requests.try_send(unknown).is_err() {
                    // It is found, and what happened to it, when the whole is read.
                    self.missed.notify_one();
                }
            }
        }
    }
}
