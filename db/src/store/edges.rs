//! Alarm edges: how a terminal's alarms change when reports are added to its track, whatever their order.
//!
//! Pure. A track is a terminal's dated reports by device time, or its undated ones by arrival. All reports of
//! one time are one instant, and a condition holds in an instant when any of them carries it: so nothing
//! depends on which of them came first. An alarm is a maximal run of instants that carry its bit; it
//! starts at the first and ends at the first instant after the last.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use model::{Alarm, AlarmChange, AlarmId, AlarmKind, AlarmSet, TerminalId};

/// Where and how fast.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) speed_kmh: f64,
}

/// One new report, as far as edges care.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) at: DateTime<Utc>,
    pub(super) alarms: AlarmSet,
    pub(super) place: Place,
}

/// The bits of a stored instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Instant {
    pub(super) at: DateTime<Utc>,
    pub(super) alarms: AlarmSet,
}

/// What was stored around a late instant before the new reports came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Neighbours {
    /// The bits of the instant itself, where it was stored.
    pub(super) own: Option<AlarmSet>,
    pub(super) previous: Option<Instant>,
    pub(super) next: Option<(Instant, Place)>,
}

/// One change to the alarms of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) kind: AlarmKind,
    /// The new instant.
    pub(super) at: DateTime<Utc>,
    pub(super) change: Turn,
}

/// What the new instant does to the runs around it. `next` is the stored instant after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Turn {
    /// A run of its own, which ends at `next`.
    Begin { place: Place, next: Option<DateTime<Utc>> },
    /// The run that started at `next` starts here.
    Earlier { place: Place, next: DateTime<Utc> },
    /// The run that ended at `next` (or had not ended) ends here.
    End { next: Option<DateTime<Utc>> },
    /// The run over it ends here and another goes on from `next`.
    Split { next: DateTime<Utc>, place: Place },
    /// The run that ended here ends at `next` (or lasts).
    Extend { next: Option<DateTime<Utc>> },
    /// The run that ended here and the one that starts at `next` are one.
    Join { next: DateTime<Utc> },
}

/// The edges that `sightings` (by rising time) bring to a track whose newest instant was `newest`.
/// `neighbours` has an entry for each time that is not after `newest`. Also gives the track's newest
/// instant afterwards.
pub(super) fn edges(
    sightings: &[Sighting],
    newest: Option<Instant>,
    neighbours: &HashMap<DateTime<Utc>, Neighbours>,
) -> (Vec<Edge>, Option<Instant>) {
    let mut edges = Vec::new();
    let mut before: Option<Instant> = None;
    let mut newest_now = newest;
    for group in sightings.chunk_by(|a, b| a.at == b.at) {
        let at = group[0].at;
        let around = if newest.is_none_or(|newest| at > newest.at) {
            Neighbours { own: None, previous: newest, next: None }
        } else {
            neighbours.get(&at).copied().unwrap_or_default()
        };
        let previous = [around.previous, before].into_iter().flatten().max_by_key(|instant| instant.at);
        // of two with the same time the one from this batch is up to date
        let previous = before.filter(|before| previous.is_some_and(|p| p.at == before.at)).or(previous);
        let brought = group.iter().fold(0, |bits, sighting| bits | sighting.alarms.0);
        let alarms = AlarmSet(brought | around.own.unwrap_or_default().0);

        let p = previous.map_or(AlarmSet(0), |instant| instant.alarms);
        let n = around.next.map_or(AlarmSet(0), |(instant, _)| instant.alarms);
        let changed = match around.own {
            None => AlarmSet(p.0 ^ alarms.0),
            Some(own) => alarms.minus(own),
        };
        for kind in changed.kinds() {
            let place =
                || group.iter().find(|s| s.alarms.contains(kind)).map_or(Place::default(), |s| s.place);
            let next = around.next.map(|(instant, _)| instant.at);
            let continues = around.next.filter(|_| n.contains(kind));
            let change = match (alarms.contains(kind), p.contains(kind), continues, around.own) {
                (true, false, None, _) => Turn::Begin { place: place(), next },
                (true, false, Some((next, _)), _) => Turn::Earlier { place: place(), next: next.at },
                (false, _, None, _) => Turn::End { next },
                (false, _, Some((next, place)), _) => Turn::Split { next: next.at, place },
                (true, true, None, _) => Turn::Extend { next },
                (true, true, Some((next, _)), _) => Turn::Join { next: next.at },
            };
            edges.push(Edge { kind, at, change });
        }
        let instant = Instant { at, alarms };
        before = Some(instant);
        if newest_now.is_none_or(|newest| at >= newest.at) {
            newest_now = Some(instant);
        }
    }
    (edges, newest_now)
}

impl Edge {
    /// The earliest end of an alarm that this edge may concern.
    pub(super) fn from(&self) -> DateTime<Utc> {
        self.at
    }
}

/// The alarms of one terminal, track and kind around some edges: as stored, and as they become.
#[derive(Debug, Default)]
pub(super) struct Runs {
    runs: Vec<Run>,
}

/// An alarm, and what it was before.
#[derive(Debug)]
struct Run {
    was: Option<Alarm>,
    is: Option<Alarm>,
}

/// What is to be done in the alarm table, and told.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) removed: Vec<AlarmId>,
    /// Old id, new state.
    pub(super) moved: Vec<(AlarmId, Alarm)>,
    pub(super) ended: Vec<(AlarmId, Option<DateTime<Utc>>)>,
    pub(super) added: Vec<Alarm>,
    pub(super) told: Vec<(AlarmChange, Alarm)>,
}

impl Runs {
    /// Adds a stored alarm, once.
    pub(super) fn know(&mut self, alarm: Alarm) {
        if !self.runs.iter().any(|run| run.was.as_ref().is_some_and(|was| was.id == alarm.id)) {
            self.runs.push(Run { was: Some(alarm.clone()), is: Some(alarm) });
        }
    }

    /// Applies an edge. An edge whose alarm is not there (its history was dropped) changes nothing.
    pub(super) fn apply(&mut self, terminal: TerminalId, edge: Edge) {
        let Edge { kind, at, change } = edge;
        let begin = |start, end, place: Place| Alarm {
            id: AlarmId::derive(terminal, kind, start),
            terminal,
            kind,
            start,
            end,
            confirmed: true,
            latitude: place.latitude,
            longitude: place.longitude,
            speed_kmh: place.speed_kmh,
        };
        match change {
            Turn::Begin { place, next } => {
                if self.find(|run| run.start == at).is_none() {
                    self.runs.push(Run { was: None, is: Some(begin(at, next, place)) });
                }
            }
            Turn::Earlier { place, next } => {
                if let Some(run) = self.find(|run| run.start == next) {
                    *run = begin(at, run.end, place);
                }
            }
            Turn::End { next } => {
                if let Some(run) = self.find(|run| run.end == next && run.start < at) {
                    run.end = Some(at);
                }
            }
            Turn::Split { next, place } => {
                let over = self.find(|run| run.start < at && run.end.is_none_or(|end| end > at));
                if let Some(run) = over {
                    let end = run.end.replace(at);
                    self.runs.push(Run { was: None, is: Some(begin(next, end, place)) });
                }
            }
            Turn::Extend { next } => {
                if let Some(run) = self.find(|run| run.end == Some(at)) {
                    run.end = next;
                }
            }
            Turn::Join { next } => {
                let Some(second) =
                    self.runs.iter_mut().find(|r| r.is.as_ref().is_some_and(|a| a.start == next))
                else {
                    return;
                };
                let Some(taken) = second.is.take() else { return };
                if let Some(run) = self.find(|run| run.end == Some(at)) {
                    run.end = taken.end;
                }
            }
        }
    }

    fn find(&mut self, wanted: impl Fn(&Alarm) -> bool) -> Option<&mut Alarm> {
        self.runs.iter_mut().filter_map(|run| run.is.as_mut()).find(|alarm| wanted(alarm))
    }

    /// What became different.
    pub(super) fn into_changes(self, changes: &mut Changes) {
        for Run { was, is } in self.runs {
            match (was, is) {
                (None, None) => {}
                (None, Some(is)) => {
                    tell_start(&is, changes);
                    changes.added.push(is);
                }
                (Some(was), None) => {
                    changes.removed.push(was.id);
                    changes.told.push((AlarmChange::Superseded, was));
                }
                (Some(was), Some(is)) if was.id != is.id => {
                    changes.told.push((AlarmChange::Superseded, was.clone()));
                    tell_start(&is, changes);
                    changes.moved.push((was.id, is));
                }
                (Some(was), Some(is)) if was.end != is.end => {
                    changes.ended.push((is.id, is.end));
                    let change = if is.end.is_some() { AlarmChange::Ended } else { AlarmChange::Started };
                    changes.told.push((change, is));
                }
                (Some(_), Some(_)) => {}
            }
        }
    }
}

impl Changes {
    /// Whether the table stays as it is.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.moved.is_empty() && self.ended.is_empty() && self.added.is_empty()
    }

    /// The order in which listeners make sense of them: what is no more goes first.
    pub(super) fn sort_told(&mut self) {
        self.told.sort_by_key(|(change, alarm)| (*change != AlarmChange::Superseded, alarm.start));
    }
}

fn tell_start(alarm: &Alarm, changes: &mut Changes) {
    changes.told.push((AlarmChange::Started, alarm.clone()));
    if alarm.end.is_some() {
        changes.told.push((AlarmChange::Ended, alarm.clone()));
    }
}
