//! Binary-coded decimal: the six time bytes of every report, and digits packed two to a byte.
//!
//! Knows no time zone and no clock: JT/T 808 times are GMT+8 (0x8004 alone is UTC), which the caller applies.

use std::fmt;

/// A time as the six bytes YY MM DD hh mm ss, kept verbatim (JT/T 808, type BCD\[6\]).
///
/// Devices send impossible ones: zero without a fix, binary instead of BCD, the 31st of June. The bytes stay;
/// [`fields`](Self::fields) says whether they are a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BcdTime(pub [u8; 6]);

impl BcdTime {
    /// The bytes of a calendar time between 2000 and 2099; `None` where it is not one.
    pub fn new(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let year = u8::try_from(year.checked_sub(2000)?).ok()?;
        if year > 99 {
            return None;
        }
        let pack = |value: u8| ((value / 10) << 4) | (value % 10);
        let time = Self([year, month, day, hour, minute, second].map(pack));
        time.fields().is_some().then_some(time)
    }

    /// Year (2000 to 2099), month, day, hour, minute, second; `None` where a nibble is no digit or the
    /// calendar has no such time.
    pub fn fields(&self) -> Option<(u16, u8, u8, u8, u8, u8)> {
        let [year, month, day, hour, minute, second] = self.0.map(decimal);
        let (year, month, day) = (2000 + u16::from(year?), month?, day?);
        let (hour, minute, second) = (hour?, minute?, second?);
        let real =
            (1..=days_in_month(year, month)?).contains(&day) && hour < 24 && minute < 60 && second < 60;
        real.then_some((year, month, day, hour, minute, second))
    }

    /// Whether all six bytes are zero, which devices send before their first fix.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for BcdTime {
    /// `2021-08-30T18:17:10`, or the twelve hexadecimal digits where they are no time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fields() {
            Some((year, month, day, hour, minute, second)) => {
                write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
            }
            None => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

/// The two decimal digits of a BCD byte, 0 to 99; `None` where a nibble is no digit.
pub fn decimal(byte: u8) -> Option<u8> {
    let (tens, units) = (byte >> 4, byte & 0x0f);
    (tens < 10 && units < 10).then_some(tens * 10 + units)
}

fn days_in_month(year: u16, month: u8) -> Option<u8> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        // 2000 to 2099: every fourth year, the century included
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_the_way_there_and_back() {
        let time = BcdTime::new(2021, 8, 30, 18, 17, 10).unwrap();
        assert_eq!(time.0, [0x21, 0x08, 0x30, 0x18, 0x17, 0x10]);
        assert_eq!(time.fields(), Some((2021, 8, 30, 18, 17, 10)));
        assert_eq!(time.to_string(), "2021-08-30T18:17:10");
    }

    #[test]
    fn impossible_times_are_none_and_keep_their_bytes() {
        for bytes in [
            [0; 6],
            [0x21, 0x13, 0x01, 0, 0, 0],
            [0x21, 0x06, 0x31, 0, 0, 0],
            [0x21, 0x02, 0x29, 0, 0, 0],
            [0x21, 0x08, 0x30, 0x24, 0, 0],
            [0x21, 0x08, 0x30, 0x23, 0x60, 0],
            [0x15, 0x08, 0x1e, 0x12, 0x11, 0x0a],
        ] {
            assert_eq!(BcdTime(bytes).fields(), None, "{bytes:02x?}");
        }
        assert_eq!(BcdTime([0x15, 0x08, 0x1e, 0, 0, 0]).to_string(), "15081e000000");
        assert!(BcdTime([0x20, 0x02, 0x29, 0, 0, 0]).fields().is_some());
        assert!(BcdTime::default().is_zero());
    }

    #[test]
    fn only_this_century_can_be_written() {
        assert_eq!(BcdTime::new(1999, 1, 1, 0, 0, 0), None);
        assert_eq!(BcdTime::new(2100, 1, 1, 0, 0, 0), None);
        assert_eq!(BcdTime::new(2023, 2, 29, 0, 0, 0), None);
    }
}
