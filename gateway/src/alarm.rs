//! Alarms as they are seen, before they are stored: which bits rose with a report that is newer than all
//! before it. The stored edges, which count, are the database's.

use chrono::{DateTime, Utc};
use db::TerminalSession;
use model::{Alarm, AlarmId, AlarmSet, Position};

/// The newest report of a terminal, as far as alarms go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    at: Option<DateTime<Utc>>,
    alarms: AlarmSet,
}

impl Seen {
    /// The alarms that begin with `position`. A report older than the newest one seen begins none, and
    /// neither does one without a usable time: its alarms are named when it is stored.
    pub(crate) fn started_by(&mut self, position: &Position) -> Vec<Alarm> {
        let Some(start) = position.device_time.filter(|time| self.at.is_none_or(|at| *time > at)) else {
            return Vec::new();
        };
        let risen = position.alarms.minus(self.alarms);
        *self = Self { at: Some(start), alarms: position.alarms };
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

impl From<TerminalSession> for Seen {
    fn from(session: TerminalSession) -> Self {
        Self { at: session.newest_at, alarms: session.alarms }
    }
}

#[cfg(test)]
mod tests {
    use model::{AlarmKind, StatusSet, TerminalId};

    use super::*;

    fn position(second: i64, alarms: u64) -> Position {
        let at = DateTime::from_timestamp(1_700_000_000 + second, 0).expect("a time");
        Position {
            terminal: TerminalId(1),
            device_time: Some(at),
            received_at: at,
            latitude: 1.0,
            longitude: 2.0,
            altitude_m: 3,
            speed_kmh: 4.0,
            direction_deg: 5,
            status: StatusSet(3),
            alarms: AlarmSet(alarms),
            mileage_km: None,
            fuel_l: None,
            recorder_speed_kmh: None,
            signal: None,
            satellites: None,
        }
    }

    fn kinds(alarms: &[Alarm]) -> Vec<u8> {
        alarms.iter().map(|alarm| alarm.kind.code()).collect()
    }

    #[test]
    fn a_bit_that_rises_begins_an_alarm_once() {
        let mut seen = Seen { at: None, alarms: AlarmSet(0b1) };
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
        let mut seen = Seen { at: None, alarms: AlarmSet(0) };
        assert!(seen.started_by(&position(10, 0)).is_empty());
        assert!(seen.started_by(&position(5, 0b100)).is_empty());
        assert!(seen.started_by(&position(10, 0b100)).is_empty(), "a resend");
        let timeless = Position { device_time: None, ..position(11, 0b100) };
        assert!(seen.started_by(&timeless).is_empty());
        assert_eq!(kinds(&seen.started_by(&position(11, 0b100))), [2]);
    }
}
