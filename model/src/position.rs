//! A position: where a terminal was, when, and in which state.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AlarmSet, TerminalId};

/// One position of one terminal, normalised from whatever its protocol sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Position {
    /// Whose position.
    pub terminal: TerminalId,
    /// When, by the terminal's clock; null when that clock said something impossible
    /// (not a time, before 2010, more than 24 h ahead of `received_at`).
    pub device_time: Option<DateTime<Utc>>,
    /// When the platform received it.
    pub received_at: DateTime<Utc>,
    /// Degrees, WGS 84, north positive.
    pub latitude: f64,
    /// Degrees, WGS 84, east positive.
    pub longitude: f64,
    /// Metres above sea level.
    pub altitude_m: i32,
    /// Speed by satellite, km/h.
    pub speed_kmh: f64,
    /// Heading in degrees, 0 north, clockwise, 0 to 359.
    pub direction_deg: u16,
    /// The state bits.
    pub status: StatusSet,
    /// The conditions that the terminal reports as alarms.
    pub alarms: AlarmSet,
    /// Odometer, km.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mileage_km: Option<f64>,
    /// Fuel in the tank, litres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel_l: Option<f64>,
    /// Speed by the driving recorder, km/h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorder_speed_kmh: Option<f64>,
    /// Strength of the mobile network, as the terminal counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// Satellites used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub satellites: Option<u8>,
}

impl Position {
    /// A position of which nothing is known but whose and when: at 0° N 0° E without a fix, standing, every optional
    /// value absent. Struct update puts what is known in place of that.
    pub fn blank(
        terminal: TerminalId,
        device_time: Option<DateTime<Utc>>,
        received_at: DateTime<Utc>,
    ) -> Self {
        Self {
            terminal,
            device_time,
            received_at,
            latitude: 0.0,
            longitude: 0.0,
            altitude_m: 0,
            speed_kmh: 0.0,
            direction_deg: 0,
            status: StatusSet::default(),
            alarms: AlarmSet::default(),
            mileage_km: None,
            fuel_l: None,
            recorder_speed_kmh: None,
            signal: None,
            satellites: None,
        }
    }

    /// The time that orders this position among its terminal's: the device's, or the arrival's where the
    /// device's is impossible.
    pub fn at(&self) -> DateTime<Utc> {
        self.device_time.unwrap_or(self.received_at)
    }

    /// How recent it is among its terminal's: the latest position of a terminal is the one with the greatest.
    pub fn recency(&self) -> Recency {
        Recency::new(self.device_time, self.received_at)
    }
}

/// What says which of a terminal's positions is its latest. Everybody who keeps a latest position compares
/// these, so that the database and what is kept in memory agree.
///
/// The device's time decides, but a clock that runs ahead counts as its report's arrival: otherwise one report
/// of tomorrow would hide all of today's. Of two at the same moment the dated one is later, then the one that
/// arrived later, then, of two that arrived together, the one with the later device time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recency {
    // the order of the fields is the order of the rule
    at: DateTime<Utc>,
    dated: bool,
    received_at: DateTime<Utc>,
    device_time: Option<DateTime<Utc>>,
}

impl Recency {
    /// Of a position with this device time (None where it is impossible) and arrival.
    pub fn new(device_time: Option<DateTime<Utc>>, received_at: DateTime<Utc>) -> Self {
        Self {
            at: device_time.map_or(received_at, |time| time.min(received_at)),
            dated: device_time.is_some(),
            received_at,
            device_time,
        }
    }
}

/// A position on its way to the database, with the bytes that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The normalised position.
    pub position: Position,
    /// The location body as received (JT/T 808 0x0200: 28 bytes and the additional items).
    pub body: Arc<[u8]>,
    /// The first 64 bits of the SHA-256 of `body`: with the terminal and the device time it names the
    /// position, so that a resend, whatever its serial number or envelope, meets the same key.
    pub hash: i64,
}

/// State bits, JT/T 808-2019 table 25 (0x0200, status).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct StatusSet(pub u32);

impl StatusSet {
    /// Ignition on (bit 0).
    pub fn acc_on(self) -> bool {
        self.bit(0)
    }

    /// The coordinates come from a fix (bit 1).
    pub fn located(self) -> bool {
        self.bit(1)
    }

    /// Whether `bit` (0 to 31) is set.
    pub fn bit(self, bit: u8) -> bool {
        self.0.checked_shr(u32::from(bit)).is_some_and(|rest| rest & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// Received `received_s` after a fixed moment, at device time `device_s` after it.
    fn position(device_s: Option<i64>, received_s: i64) -> Position {
        let at = |seconds| {
            DateTime::from_timestamp(1_795_321_800, 0).expect("a time") + TimeDelta::seconds(seconds)
        };
        Position::blank(TerminalId(1), device_s.map(at), at(received_s))
    }

    #[test]
    fn the_latest_position_is_the_newest_by_a_time_that_is_never_ahead_of_its_arrival() {
        let later = |one: (Option<i64>, i64), two: (Option<i64>, i64)| {
            position(one.0, one.1).recency() > position(two.0, two.1).recency()
        };
        assert!(later((Some(10), 11), (Some(9), 10)));
        assert!(!later((Some(5), 20), (Some(9), 10)), "a late report stays behind");
        assert!(later((Some(20), 21), (Some(80_000), 10)), "a clock ahead hides nothing that comes after");
        assert!(later((None, 20), (Some(9), 10)), "without a time its arrival counts");
        assert!(
            !later((None, 10), (Some(10), 10)) && later((Some(10), 10), (None, 10)),
            "dated before undated"
        );
        assert!(later((Some(10), 12), (Some(10), 11)), "of one moment the later to arrive");
        assert!(later((Some(81_000), 10), (Some(80_000), 10)), "arrived together: by device time");
    }
}
