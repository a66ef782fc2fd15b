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
    /// The time that orders this position among its terminal's: the device's, or the arrival's where the
    /// device's is impossible.
    pub fn at(&self) -> DateTime<Utc> {
        self.device_time.unwrap_or(self.received_at)
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
