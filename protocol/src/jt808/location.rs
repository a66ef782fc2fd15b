//! The location body of 0x0200 and of every message that carries one (JT/T 808 section "location report").
//!
//! Decoding borrows and allocates nothing; encoding writes exactly what was decoded. What the bits mean to a
//! fleet is not decided here.

use crate::jt808::{BcdTime, Edition, Items};
use crate::reader::{Reader, Truncated};

/// Length of the part before the additional items.
pub const LOCATION_BYTES: usize = 28;

const SOUTH: u32 = 1 << 2;
const WEST: u32 = 1 << 3;

/// A location body: 28 fixed bytes and the additional items.
///
/// Coordinates stay as the words that were sent, since two conventions are in use (hemisphere bits, and two's
/// complement); [`latitude_e6`](Self::latitude_e6) and [`longitude_e6`](Self::longitude_e6) read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocationReport<'a> {
    /// Alarm bits (table 7.1).
    pub alarm: u32,
    /// State bits (table 7.2).
    pub status: u32,
    /// Latitude as sent, 1e-6 degree.
    pub latitude_word: u32,
    /// Longitude as sent, 1e-6 degree.
    pub longitude_word: u32,
    /// Altitude as sent, metres.
    pub altitude_word: u16,
    /// Speed by satellite, 0.1 km/h.
    pub speed_x10: u16,
    /// Heading in degrees, 0 north, clockwise; the standard's range is 0 to 359, devices are not held to it.
    pub direction: u16,
    /// Device time, GMT+8.
    pub time: BcdTime,
    /// The additional items.
    pub items: Items<'a>,
}

impl<'a> LocationReport<'a> {
    /// Reads a location body; everything behind the fixed part is items, however long or broken.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = reader.array()?;
        let [altitude, speed, direction] = [reader.u16()?, reader.u16()?, reader.u16()?];
        let time = BcdTime(reader.array()?);
        Ok(Self {
            alarm: u32::from_be_bytes([a, b, c, d]),
            status: u32::from_be_bytes([e, f, g, h]),
            latitude_word: u32::from_be_bytes([i, j, k, l]),
            longitude_word: u32::from_be_bytes([m, n, o, p]),
            altitude_word: altitude,
            speed_x10: speed,
            direction,
            time,
            items: Items(reader.rest()),
        })
    }

    /// Appends the body, the same bytes as were decoded.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        for word in [self.alarm, self.status, self.latitude_word, self.longitude_word] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        for word in [self.altitude_word, self.speed_x10, self.direction] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.time.0);
        out.extend_from_slice(self.items.0);
    }

    /// Latitude in 1e-6 degree, north positive.
    pub fn latitude_e6(&self) -> i32 {
        signed(self.latitude_word, self.status & SOUTH != 0)
    }

    /// Longitude in 1e-6 degree, east positive.
    pub fn longitude_e6(&self) -> i32 {
        signed(self.longitude_word, self.status & WEST != 0)
    }

    /// Altitude in metres, below sea level negative (devices write two's complement).
    pub fn altitude_m(&self) -> i16 {
        self.altitude_word as i16
    }

    /// Sets the coordinates the standard's way: magnitudes, and the hemispheres in the status bits.
    pub fn set_coordinates(&mut self, latitude_e6: i32, longitude_e6: i32) {
        self.latitude_word = latitude_e6.unsigned_abs();
        self.longitude_word = longitude_e6.unsigned_abs();
        for (negative, bit) in [(latitude_e6 < 0, SOUTH), (longitude_e6 < 0, WEST)] {
            self.status = if negative { self.status | bit } else { self.status & !bit };
        }
    }

    /// Whether the coordinates are on the globe: within 90 and 180 degrees.
    pub fn on_globe(&self) -> bool {
        self.latitude_e6().unsigned_abs() <= 90_000_000 && self.longitude_e6().unsigned_abs() <= 180_000_000
    }

    /// Whether the coordinates come from a fix (status bit 1).
    pub fn located(&self) -> bool {
        self.status & 1 << 1 != 0
    }
}

/// Devices say "south" or "west" by the status bit, by two's complement, or by both at once: negated once.
fn signed(word: u32, negative: bool) -> i32 {
    let value = word as i32;
    if negative && value > 0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(status: u32, latitude: u32, longitude: u32) -> LocationReport<'static> {
        LocationReport { status, latitude_word: latitude, longitude_word: longitude, ..Default::default() }
    }

    #[test]
    fn hemispheres_by_bits_by_twos_complement_and_by_both() {
        for (status, latitude, longitude) in [
            (0b1100, 31_000_562, 121_451_372),
            (0, 31_000_562u32.wrapping_neg(), 121_451_372u32.wrapping_neg()),
            (0b1100, 31_000_562u32.wrapping_neg(), 121_451_372u32.wrapping_neg()),
        ] {
            let report = report(status, latitude, longitude);
            assert_eq!((report.latitude_e6(), report.longitude_e6()), (-31_000_562, -121_451_372));
            assert!(report.on_globe());
        }
        assert!(!report(0, 0x8000_0000, 0).on_globe());
        assert_eq!(report(0b100, 0x8000_0000, 0).latitude_e6(), i32::MIN);
    }

    #[test]
    fn coordinates_are_written_the_standards_way() {
        let mut report = report(0b1110, 0, 0);
        report.set_coordinates(-22_500_000, 114_000_000);
        assert_eq!(
            (report.status, report.latitude_word, report.longitude_word),
            (0b0110, 22_500_000, 114_000_000)
        );
        assert_eq!((report.latitude_e6(), report.longitude_e6()), (-22_500_000, 114_000_000));
    }

    #[test]
    fn below_sea_level() {
        assert_eq!(LocationReport { altitude_word: 0xfffe, ..Default::default() }.altitude_m(), -2);
    }

    #[test]
    fn less_than_the_fixed_part_is_an_error() {
        for len in 0..LOCATION_BYTES {
            assert!(LocationReport::decode(&vec![0; len], Edition::V2013).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_body_of_28_bytes_or_more_is_written_back(body in proptest::collection::vec(any::<u8>(), 28..300)) {
            let report = LocationReport::decode(&body, Edition::V2013).unwrap();
            prop_assert!(report.items.iter().count() <= body.len());
            let mut again = Vec::new();
            report.encode(&mut again, Edition::V2019);
            prop_assert_eq!(again, body);
        }

        #[test]
        fn coordinates_come_back(latitude in -90_000_000..=90_000_000, longitude in -180_000_000..=180_000_000) {
            let mut report = LocationReport::default();
            report.set_coordinates(latitude, longitude);
            prop_assert_eq!((report.latitude_e6(), report.longitude_e6()), (latitude, longitude));
        }
    }
}
