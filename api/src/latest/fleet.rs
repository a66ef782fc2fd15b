//! The fleet as it stands: whose each terminal is, and its latest status. Pure: knows no database, no clock and
//! no task; `keeper` feeds it.
//!
//! A snapshot is never changed in its structure: terminals that come, go or move make the next snapshot. What
//! moves all the time, position and presence, is exchanged inside a terminal, so that reading never waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use db::LatestPosition;
use model::{CompanyId, Event, Position, Presence, Scope, TerminalId, VehicleId};

use super::NotRead;

/// How long after a terminal's last coming or going the database may not know of it yet: so long the event is
/// believed against it. Gateways tell it at once, but a whole fleet that reconnects takes its time.
const PRESENCE_SETTLES: Duration = Duration::from_secs(60);

/// Whose a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) vehicle_id: Option<VehicleId>,
    pub(crate) company_id: CompanyId,
}

/// One terminal in a snapshot.
#[derive(Debug)]
pub(crate) struct Terminal {
    id: TerminalId,
    device_no: String,
    /// The device number as it is looked up.
    key: Arc<str>,
    plate: Option<String>,
    place: Place,
    /// Shared between snapshots, so that what is exchanged in an old one is in the next.
    moving: Arc<ArcSwap<Moving>>,
}

/// What changes without anybody's doing.
#[derive(Clone, Debug, Default)]
struct Moving {
    online: bool,
    /// When an event last said whether it is online.
    told: Option<Instant>,
    last_seen_at: Option<DateTime<Utc>>,
    position: Option<Position>,
}

impl Moving {
    fn positioned(mut self, position: &Position) -> Self {
        if self.position.as_ref().is_none_or(|known| known.recency() <= position.recency()) {
            self.position = Some(position.clone());
        }
        self.last_seen_at = self.last_seen_at.max(Some(position.received_at));
        self
    }

    fn came_or_went(mut self, presence: Presence, now: Instant, at: DateTime<Utc>) -> Self {
        self.online = presence == Presence::Online;
        self.told = Some(now);
        self.last_seen_at = self.last_seen_at.max(Some(at));
        self
    }

    /// With what the database said when it was asked at `asked`.
    fn read(mut self, row: &LatestPosition, asked: Instant) -> Self {
        if self.told.is_none_or(|told| told + PRESENCE_SETTLES < asked) {
            self.online = row.online;
        }
        self.last_seen_at = self.last_seen_at.max(row.last_seen_at);
        match &row.position {
            Some(position) => self.positioned(position),
            None => self,
        }
    }
}

impl Terminal {
    fn new(row: &LatestPosition, moving: Arc<ArcSwap<Moving>>) -> Self {
        Self {
            id: row.terminal_id,
            device_no: row.device_no.clone(),
            key: row.device_no.to_lowercase().into(),
            plate: row.plate.clone(),
            place: Place { vehicle_id: row.vehicle_id, company_id: row.company_id },
            moving,
        }
    }

    pub(crate) fn id(&self) -> TerminalId {
        self.id
    }

    pub(crate) fn plate(&self) -> Option<&str> {
        self.plate.as_deref()
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Everything, as of now.
    pub(crate) fn latest(&self) -> LatestPosition {
        let moving = self.moving.load();
        LatestPosition {
            terminal_id: self.id,
            device_no: self.device_no.clone(),
            vehicle_id: self.place.vehicle_id,
            plate: self.plate.clone(),
            company_id: self.place.company_id,
            online: moving.online,
            last_seen_at: moving.last_seen_at,
            position: moving.position.clone(),
        }
    }

    /// Takes in what happened to it at `now`, which is `at` on the calendar.
    pub(super) fn happened(&self, event: &Event, now: Instant, at: DateTime<Utc>) {
        match event {
            Event::Position(position) => self.change(|moving| moving.positioned(position)),
            Event::Presence { presence, .. } => {
                self.change(|moving| moving.came_or_went(*presence, now, at));
            }
            // Which conditions last stands in the position that brought them.
            Event::Alarm { .. } | Event::Stream { .. } => {}
        }
    }

    /// Events were missed: the database's next word on presence counts.
    pub(super) fn missed(&self) {
        self.change(|moving| Moving { told: None, ..moving });
    }

    fn read(&self, row: &LatestPosition, asked: Instant) {
        self.change(|moving| moving.read(row, asked));
    }

    fn change(&self, to: impl Fn(Moving) -> Moving) {
        self.moving.rcu(|moving| to(Moving::clone(moving)));
    }

    fn is_held_as(&self, row: &LatestPosition) -> bool {
        let LatestPosition { terminal_id, device_no, vehicle_id, plate, company_id, .. } = row;
        let place = Place { vehicle_id: *vehicle_id, company_id: *company_id };
        (&self.id, &self.device_no, &self.plate, self.place) == (terminal_id, device_no, plate, place)
    }
}

/// All terminals: as many as the database has, no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fleet {
    terminals: BTreeMap<TerminalId, Arc<Terminal>>,
    by_device_no: HashMap<Arc<str>, TerminalId>,
    /// Each company with the one above it.
    parents: Arc<HashMap<CompanyId, Option<CompanyId>>>,
    /// Terminals that were changed and could not be read since: they are here as they were.
    in_doubt: BTreeSet<TerminalId>,
}

impl Fleet {
    pub(crate) fn terminal(&self, id: TerminalId) -> Option<&Arc<Terminal>> {
        self.terminals.get(&id)
    }

    /// Where the terminal belongs, if it is known, and if that is not in doubt.
    pub(super) fn place(&self, id: TerminalId) -> Option<Result<Place, NotRead>> {
        let terminal = self.terminal(id)?;
        Some(if self.in_doubt.contains(&id) { Err(NotRead) } else { Ok(terminal.place()) })
    }

    /// Whether a terminal is in doubt that `scope` saw before.
    pub(super) fn doubts(&self, scope: &Scope) -> bool {
        let mut in_doubt = self.in_doubt.iter().filter_map(|id| self.terminal(*id));
        in_doubt.any(|terminal| scope.sees(terminal.place.company_id))
    }

    /// The terminal with this device number, in any case, if `scope` sees it.
    pub(crate) fn device(&self, scope: &Scope, device_no: &str) -> Option<&Arc<Terminal>> {
        let id = self.by_device_no.get(device_no.trim().to_lowercase().as_str())?;
        self.terminal(*id).filter(|terminal| scope.sees(terminal.place.company_id))
    }

    /// The terminals that `scope` sees, by id, from the one after `after` on.
    pub(crate) fn seen_after<'a>(
        &'a self,
        scope: &'a Scope,
        after: Option<TerminalId>,
    ) -> impl Iterator<Item = &'a Arc<Terminal>> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let terminals = self.terminals.range((after, Bound::Unbounded));
        terminals.map(|(_, terminal)| terminal).filter(|terminal| scope.sees(terminal.place.company_id))
    }

    /// Every terminal that `scope` sees, by id.
    pub(crate) fn seen<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Terminal>> {
        self.seen_after(scope, None)
    }

    /// Whether `company` is `top` or below it.
    pub(crate) fn is_below(&self, company: CompanyId, top: CompanyId) -> bool {
        // A tree of n companies has no way up that is longer than n.
        let way_up = std::iter::successors(Some(company), |at| self.parents.get(at).copied().flatten());
        way_up.take(self.parents.len() + 1).any(|at| at == top)
    }

    pub(super) fn terminals(&self) -> impl Iterator<Item = &Arc<Terminal>> {
        self.terminals.values()
    }

    /// Takes in what the database, asked at `asked`, said of the terminals for which `asked_for` holds: those it
    /// did not name are gone. The next snapshot, where the structure changed.
    pub(super) fn with_rows(
        &self,
        rows: &[LatestPosition],
        asked: Instant,
        asked_for: impl Asked,
    ) -> Option<Self> {
        let named: BTreeSet<TerminalId> = rows.iter().map(|row| row.terminal_id).collect();
        let asked_for: Vec<TerminalId> = asked_for.among(&self.terminals).collect();
        let gone: Vec<TerminalId> = asked_for.iter().copied().filter(|id| !named.contains(id)).collect();
        let settled: Vec<TerminalId> =
            asked_for.into_iter().filter(|id| self.in_doubt.contains(id)).collect();
        let mut others = Vec::new();
        for row in rows {
            match self.terminals.get(&row.terminal_id) {
                Some(terminal) => {
                    terminal.read(row, asked);
                    if !terminal.is_held_as(row) {
                        others.push(Terminal::new(row, Arc::clone(&terminal.moving)));
                    }
                }
                None => {
                    let moving = Moving::default().read(row, asked);
                    others.push(Terminal::new(row, Arc::new(ArcSwap::from_pointee(moving))));
                }
            }
        }
        if gone.is_empty() && others.is_empty() && settled.is_empty() {
            return None;
        }
        let mut next = self.clone();
        for id in &settled {
            next.in_doubt.remove(id);
        }
        for id in gone.iter().chain(others.iter().map(|terminal| &terminal.id)) {
            if let Some(former) = next.terminals.remove(id)
                && next.by_device_no.get(&former.key) == Some(id)
            {
                next.by_device_no.remove(&former.key);
            }
        }
        for terminal in others {
            next.by_device_no.insert(Arc::clone(&terminal.key), terminal.id);
            next.terminals.insert(terminal.id, Arc::new(terminal));
        }
        Some(next)
    }

    /// The next snapshot, where any of these terminals is known: they were changed, and the database did not say how.
    pub(super) fn with_doubts(&self, terminals: &BTreeSet<TerminalId>) -> Option<Self> {
        let mut next = self.clone();
        next.in_doubt.extend(terminals.among(&self.terminals));
        (next.in_doubt.len() > self.in_doubt.len()).then_some(next)
    }

    pub(super) fn with_companies(&self, parents: HashMap<CompanyId, Option<CompanyId>>) -> Self {
        Self { parents: Arc::new(parents), ..self.clone() }
    }
}

/// Which terminals a question was about.
pub(super) trait Asked {
    /// Those of them that are known.
    fn among(self, known: &BTreeMap<TerminalId, Arc<Terminal>>) -> impl Iterator<Item = TerminalId>;
}

impl Asked for &BTreeSet<TerminalId> {
    fn among(self, known: &BTreeMap<TerminalId, Arc<Terminal>>) -> impl Iterator<Item = TerminalId> {
        self.iter().copied().filter(|id| known.contains_key(id))
    }
}

impl Asked for (Bound<TerminalId>, Bound<TerminalId>) {
    fn among(self, known: &BTreeMap<TerminalId, Arc<Terminal>>) -> impl Iterator<Item = TerminalId> {
        known.range(self).map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use model::Companies;

    use super::*;

    const ALL: (Bound<TerminalId>, Bound<TerminalId>) = (Bound::Unbounded, Bound::Unbounded);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_321_800, 0).expect("a time") + TimeDelta::seconds(seconds)
    }

    fn position(device_s: Option<i64>, received_s: i64) -> Position {
        Position::blank(TerminalId(1), device_s.map(at), at(received_s))
    }

    fn row(id: i64, company: i64) -> LatestPosition {
        LatestPosition {
            terminal_id: TerminalId(id),
            device_no: format!("Dev{id}"),
            vehicle_id: None,
            plate: None,
            company_id: CompanyId(company),
            online: false,
            last_seen_at: None,
            position: None,
        }
    }

    fn fleet(rows: &[LatestPosition]) -> Fleet {
        Fleet::default().with_rows(rows, Instant::now(), ALL).expect("terminals came")
    }

    fn known(fleet: &Fleet) -> LatestPosition {
        fleet.terminal(TerminalId(1)).expect("there").latest()
    }

    fn tell(fleet: &Fleet, event: Event, now: Instant) {
        fleet.terminal(event.terminal()).expect("there").happened(&event, now, at(0));
    }

    #[test]
    fn a_late_or_undated_report_never_replaces_a_newer_one_whoever_tells_of_it() {
        let fleet = fleet(&[row(1, 1)]);
        let now = Instant::now();
        let newest = position(Some(10), 11);
        tell(&fleet, Event::Position(newest.clone()), now);
        for older in [position(Some(9), 30), position(None, 8), position(Some(4), 4)] {
            tell(&fleet, Event::Position(older.clone()), now);
            assert_eq!(known(&fleet).position, Some(newest.clone()));
            let stale = LatestPosition { position: Some(older), ..row(1, 1) };
            assert!(fleet.with_rows(&[stale], now, ALL).is_none(), "nothing moved");
            assert_eq!(known(&fleet).position, Some(newest.clone()));
        }
        assert_eq!(known(&fleet).last_seen_at, Some(at(30)), "it was seen all the same");
        let newer = LatestPosition { position: Some(position(Some(12), 40)), ..row(1, 1) };
        fleet.with_rows(std::slice::from_ref(&newer), now, ALL);
        assert_eq!(known(&fleet).position, newer.position, "the database knows of one that was missed");
    }

    #[test]
    fn an_event_of_presence_is_believed_until_the_database_must_know() {
        let fleet = fleet(&[row(1, 1)]);
        let now = Instant::now();
        let event = Event::Presence { terminal: TerminalId(1), presence: Presence::Online };
        tell(&fleet, event, now);
        let offline = [row(1, 1)];
        fleet.with_rows(&offline, now + Duration::from_secs(1), ALL);
        assert!(known(&fleet).online, "the database was not told yet");
        fleet.with_rows(&offline, now + PRESENCE_SETTLES + Duration::from_secs(1), ALL);
        assert!(!known(&fleet).online);
    }

    #[test]
    fn after_missed_events_the_database_is_believed_at_once() {
        let fleet = fleet(&[row(1, 1)]);
        let now = Instant::now();
        tell(&fleet, Event::Presence { terminal: TerminalId(1), presence: Presence::Online }, now);
        fleet.terminal(TerminalId(1)).expect("there").missed();
        fleet.with_rows(&[row(1, 1)], now, ALL);
        assert!(!known(&fleet).online);
    }

    #[test]
    fn a_terminal_that_moves_keeps_its_status_and_leaves_its_old_place() {
        let before = fleet(&[row(1, 1), row(2, 1)]);
        let moved = LatestPosition { device_no: "other".into(), ..row(1, 7) };
        let asked_for = BTreeSet::from([TerminalId(1)]);
        let after = before.with_rows(&[moved], Instant::now(), &asked_for).expect("it moved");
        // By the old snapshot, as somebody who still holds it does.
        tell(&before, Event::Position(position(Some(1), 1)), Instant::now());
        assert_eq!(known(&after).position, Some(position(Some(1), 1)));
        let scope = |company| Scope {
            account: None,
            companies: Companies::Of(Arc::new([CompanyId(company)].into())),
        };
        let ids = |scope: &Scope| after.seen(scope).map(|terminal| terminal.id().0).collect::<Vec<_>>();
        assert_eq!((ids(&scope(1)), ids(&scope(7))), (vec![2], vec![1]));
        assert!(after.device(&scope(7), "OTHER").is_some());
        assert!(after.device(&scope(1), "other").is_none(), "another company's");
        assert!(after.device(&Scope::platform(), "dev1").is_none(), "its old number");
        let gone = after.with_rows(&[], Instant::now(), &asked_for).expect("it is gone");
        assert!(gone.terminal(TerminalId(1)).is_none() && gone.terminal(TerminalId(2)).is_some());
    }

    #[test]
    fn a_page_of_the_database_says_nothing_of_terminals_outside_it() {
        let fleet = fleet(&[row(1, 1), row(2, 1), row(3, 1)]);
        let upto_two = (Bound::Unbounded, Bound::Included(TerminalId(2)));
        let next = fleet.with_rows(&[row(2, 1)], Instant::now(), upto_two).expect("one is gone");
        let ids: Vec<i64> = next.seen(&Scope::platform()).map(|terminal| terminal.id().0).collect();
        assert_eq!(ids, [2, 3]);
        let rest: Vec<i64> = next
            .seen_after(&Scope::platform(), Some(TerminalId(2)))
            .map(|terminal| terminal.id().0)
            .collect();
        assert_eq!(rest, [3]);
    }

    #[test]
    fn a_terminal_in_doubt_is_kept_and_believed_by_nobody_until_it_is_read() {
        let before = fleet(&[row(1, 1), row(2, 2)]);
        let scope = |company| Scope {
            account: None,
            companies: Companies::Of(Arc::new([CompanyId(company)].into())),
        };
        let changed = BTreeSet::from([TerminalId(1), TerminalId(3)]);
        let doubtful = before.with_doubts(&changed).expect("one is known");
        assert!(doubtful.with_doubts(&changed).is_none(), "nothing new");
        assert!(before.with_doubts(&BTreeSet::from([TerminalId(3)])).is_none(), "nobody knows it");
        assert_eq!(doubtful.place(TerminalId(1)), Some(Err(NotRead)));
        assert_eq!(doubtful.place(TerminalId(3)), None);
        assert!(doubtful.place(TerminalId(2)).is_some_and(|place| place.is_ok()));
        assert!(doubtful.doubts(&scope(1)) && !doubtful.doubts(&scope(2)));
        let two = (Bound::Excluded(TerminalId(1)), Bound::Unbounded);
        assert!(doubtful.with_rows(&[row(2, 2)], Instant::now(), two).is_none(), "it was not read");
        let read = doubtful.with_rows(&[row(1, 1)], Instant::now(), &changed).expect("no doubt any more");
        assert!(read.place(TerminalId(1)).is_some_and(|place| place.is_ok()) && !read.doubts(&scope(1)));
        let gone = doubtful.with_rows(&[], Instant::now(), &changed).expect("gone");
        assert_eq!(gone.place(TerminalId(1)), None);
        assert!(!gone.doubts(&Scope::platform()));
    }

    #[test]
    fn a_company_is_below_those_above_it() {
        let parents = [(1, None), (2, Some(1)), (3, Some(2)), (8, Some(9)), (9, Some(8))];
        let parents = parents.map(|(id, above)| (CompanyId(id), above.map(CompanyId)));
        let fleet = Fleet::default().with_companies(parents.into());
        let below = |id, top| fleet.is_below(CompanyId(id), CompanyId(top));
        assert!(below(3, 1) && below(3, 3) && below(2, 1));
        assert!(!below(1, 3) && !below(3, 4) && !below(77, 1));
        assert!(!below(8, 1), "what cannot be, a circle, ends too");
    }
}
