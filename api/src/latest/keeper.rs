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
use db::{Db, DbError, Page};
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
/// Terminals remembered that were asked for in vain; of more each event asks.
const IN_VAIN_MAX: usize = 1_024;

/// What the keeper is asked to read at once.
pub(super) enum Request {
    /// These terminals, because somebody changed them here.
    Terminals {
        /// Which.
        terminals: Vec<TerminalId>,
        /// Told when it is done.
        done: oneshot::Sender<()>,
    },
    /// A terminal that is not in the table, because something happened to it: it is new, or there is none.
    Place {
        /// Which.
        terminal: TerminalId,
        /// Told whether the database could say.
        done: oneshot::Sender<bool>,
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
    in_vain: InVain,
}

/// Terminals that were asked for because something happened to them, and not found: many subscribers hear of each
/// event, and all would ask.
#[derive(Default)]
struct InVain {
    /// When, and whether the database could say.
    asked: HashMap<TerminalId, (Instant, bool)>,
}

impl InVain {
    /// What the last question led to, where it is less than [`RETRY`] old.
    fn last(&self, terminal: TerminalId, now: Instant) -> Option<bool> {
        let (at, read) = self.asked.get(&terminal)?;
        (now.saturating_duration_since(*at) < RETRY).then_some(*read)
    }

    fn note(&mut self, terminals: impl Iterator<Item = TerminalId>, read: bool, now: Instant) {
        self.asked.retain(|_, (at, _)| now.saturating_duration_since(*at) < RETRY);
        for terminal in terminals {
            if self.asked.len() < IN_VAIN_MAX {
                self.asked.insert(terminal, (now, read));
            }
        }
    }
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
        asked: mpsc::Receiver<Request>,
        filled: watch::Sender<bool>,
        missed: Arc<Notify>,
    ) -> Self {
        Self { db, fleet, asked, filled, missed, in_vain: InVain::default() }
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
        let (mut waiting, mut places, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let begun = Instant::now();
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
                Request::Place { terminal, done } => match self.in_vain.last(terminal, begun) {
                    // An error says that nobody waits any more.
                    Some(read) => drop(done.send(read)),
                    None => {
                        terminals.insert(terminal);
                        places.push(done);
                    }
                },
                Request::Unknown { event, at } => {
                    // What was asked for in vain is met, if it is there, when the whole is read.
                    if self.in_vain.last(event.terminal(), begun).is_none() {
                        terminals.insert(event.terminal());
                    }
                    events.push((event, at));
                }
            }
            let taken = terminals.len().max(events.len());
            next = if taken < AT_ONCE { self.asked.try_recv().ok() } else { None };
        }
        if companies && let Err(error) = self.read_companies().await {
            warn!(%error, "tree of companies not read anew: {error}");
            self.missed.notify_one();
        }
        let read = terminals.is_empty() || self.read_terminals(&terminals).await;
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
        let not_there = terminals.iter().copied().filter(|id| fleet.terminal(*id).is_none());
        self.in_vain.note(not_there, read, now);
        // Errors say that nobody waits any more.
        for done in waiting {
            let _ = done.send(());
        }
        for done in places {
            let _ = done.send(read);
        }
    }

    /// Whether the database could say how these terminals are; they are in doubt where it could not.
    async fn read_terminals(&self, terminals: &BTreeSet<TerminalId>) -> bool {
        let asked = Instant::now();
        let wanted: Vec<TerminalId> = terminals.iter().copied().collect();
        match self.db.latest_positions_of(&wanted).await {
            Ok(rows) => {
                self.take(self.fleet.load().with_rows(&rows, asked, terminals));
                true
            }
            Err(error) => {
                warn!(%error, "{} changed terminals not read anew, in doubt until they are: {error}", wanted.len());
                self.take(self.fleet.load().with_doubts(terminals));
                self.missed.notify_one();
                false
            }
        }
    }
}

impl Follower {
    pub(super) fn new(
        fleet: Arc<ArcSwap<Fleet>>,
        requests: mpsc::Sender<Request>,
        missed: Arc<Notify>,
    ) -> Self {
        Self { fleet, requests, missed }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_asked_for_in_vain_is_not_asked_for_again_at_once() {
        let (mut in_vain, now) = (InVain::default(), Instant::now());
        in_vain.note([TerminalId(1)].into_iter(), true, now);
        in_vain.note([TerminalId(2)].into_iter(), false, now);
        assert_eq!(in_vain.last(TerminalId(1), now), Some(true), "there is none");
        assert_eq!(in_vain.last(TerminalId(2), now), Some(false), "it could not be read");
        assert_eq!(in_vain.last(TerminalId(3), now), None);
        assert_eq!(in_vain.last(TerminalId(1), now + RETRY), None);
        in_vain.note((0..5_000).map(TerminalId), true, now);
        assert_eq!(in_vain.asked.len(), IN_VAIN_MAX);
        in_vain.note([TerminalId(7_000)].into_iter(), true, now + RETRY);
        assert_eq!(in_vain.asked.len(), 1, "the old give way");
    }
}
