//! Alarms as they are seen, before they are stored: which bits rose with a report that is newer than all
//! before it. The stored edges, which count, are the database's.

use chrono::{DateTime, TimeDelta, Utc};
use db::NewestAlarms;
use model::{Alarm, AlarmId, AlarmSet, Position};

/// How far ahead of its arrival a report's time may be to count here. One from a clock that has run away would
/// make every right one look old; its alarms are named when it is stored.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// The newest report of a terminal on one link, as far as alarms go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    at: Option<DateTime<Utc>>,
    alarms: AlarmSet,
    /// Whether what was stored before this link is taken into account. Until then nothing is said to begin:
    /// it may have begun long ago.
    is_complete: bool,
}

impl Seen {
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Takes what was stored into account, unless something newer was seen since. What a clock that has run away
    /// dated later than `now` and some minutes counts as of then: it is not to silence what comes for hours.
    pub(crate) fn complete(&mut self, stored: NewestAlarms, now: DateTime<Utc>) {
        let at = stored.at.map(|at| at.min(now + AHEAD_MAX));
        if at >= self.at {
            (self.at, self.alarms) = (at, stored.alarms);
        }
        self.is_complete = true;
    }

    /// The alarms that begin with `position`. A report older than the newest one seen begins none, and
    /// neither does one without a usable time: its alarms are named when it is stored.
    pub(crate) fn started_by(&mut self, position: &Position) -> Vec<Alarm> {
        let usable = |time: &DateTime<Utc>| {
            self.at.is_none_or(|at| *time > at) && *time - position.received_at <= AHEAD_MAX
        };
        let Some(start) = position.device_time.filter(usable) else {
            return Vec::new();
        };
        let risen = position.alarms.minus(self.alarms);
        (self.at, self.alarms) = (Some(start), position.alarms);
        if !self.is_complete {
            return Vec::new();
        }
        risen
            .kinds()
            .map(|kind| Alarm {
                id: AlarmId::derive(position.terminal, kind, start),
                terminal: position.terminal,
                kind,
                start,
                end: None,
                confirmed: false,
                latitude: position.latitude,
                longitude: position.longitude,
                speed_kmh: position.speed_kmh,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use model::{AlarmKind, TerminalId};

    use super::*;

    fn position(second: i64, alarms: u64) -> Position {
        let at = DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time");
        Position { alarms: AlarmSet(alarms), ..Position::blank(TerminalId(1), Some(at), at) }
    }

    fn seen(second: Option<i64>, alarms: u64) -> Seen {
        let mut seen = Seen::default();
        let at = second.and_then(|second| position(second, 0).device_time);
        seen.complete(NewestAlarms { at, alarms: AlarmSet(alarms) }, position(100, 0).received_at);
        seen
    }

    fn kinds(alarms: &[Alarm]) -> Vec<u8> {
        alarms.iter().map(|alarm| alarm.kind.code()).collect()
    }

    #[test]
    fn a_bit_that_rises_begins_an_alarm_once() {
        let mut seen = seen(None, 0b1);
        assert_eq!(kinds(&seen.started_by(&position(1, 0b11))), [1], "bit 0 lasts since before");
        assert!(seen.started_by(&position(2, 0b11)).is_empty());
        assert!(seen.started_by(&position(3, 0)).is_empty());
        let again = seen.started_by(&position(4, 0b1));
        let kind = AlarmKind::new(0).expect("a kind");
        assert_eq!(again[0].id, AlarmId::derive(TerminalId(1), kind, again[0].start));
        assert!(!again[0].confirmed);
    }

    #[test]
    fn an_older_or_timeless_report_begins_nothing_and_changes_no_bits() {
        let mut seen = seen(None, 0);
        assert!(seen.started_by(&position(10, 0)).is_empty());
        assert!(seen.started_by(&position(5, 0b100)).is_empty());
        assert!(seen.started_by(&position(10, 0b100)).is_empty(), "a resend");
        let timeless = Position { device_time: None, ..position(11, 0b100) };
        assert!(seen.started_by(&timeless).is_empty());
        assert_eq!(kinds(&seen.started_by(&position(11, 0b100))), [2]);
    }

    #[test]
    fn nothing_begins_while_it_is_not_known_what_lasts() {
        let mut seen = Seen::default();
        assert!(seen.started_by(&position(5, 0b1)).is_empty(), "it may have begun before");
        let now = position(5, 0).received_at;
        seen.complete(NewestAlarms { at: position(3, 0).device_time, alarms: AlarmSet(0) }, now);
        assert!(seen.started_by(&position(6, 0b1)).is_empty(), "it lasts since the report before");
        assert_eq!(kinds(&seen.started_by(&position(7, 0b11))), [1]);

        let mut seen = Seen::default();
        assert!(seen.started_by(&position(5, 0)).is_empty());
        seen.complete(NewestAlarms { at: position(9, 0).device_time, alarms: AlarmSet(0b1) }, now);
        assert!(seen.started_by(&position(10, 0b1)).is_empty(), "it lasts since what was stored");
    }

    #[test]
    fn a_report_from_the_future_does_not_silence_those_that_follow() {
        let mut seen = seen(Some(0), 0);
        let ahead = Position { received_at: position(10, 0).received_at, ..position(80_000, 0b1) };
        assert!(seen.started_by(&ahead).is_empty(), "named when it is stored");
        assert_eq!(kinds(&seen.started_by(&position(20, 0b10))), [1]);
        let fast = Position { received_at: position(30, 0).received_at, ..position(300, 0b110) };
        assert_eq!(kinds(&seen.started_by(&fast)), [2], "a clock that is some minutes fast is believed");
    }

    #[test]
    fn a_stored_report_from_the_future_does_not_silence_the_link() {
        // the clock was 20 hours fast; it is right again
        let mut seen = seen(Some(72_000), 0b1);
        assert!(
            seen.started_by(&position(110, 0b11)).is_empty(),
            "within the minutes that a clock may be fast"
        );
        assert_eq!(kinds(&seen.started_by(&position(500, 0b11))), [1], "bit 0 lasts since what was stored");
    }
}
