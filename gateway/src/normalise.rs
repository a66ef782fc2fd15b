//! From the wire to the model: the one place where a location body becomes a position. Standard meanings
//! only; what vendors put beside them stays in the body, which is kept.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use model::{AlarmSet, Position, Report, StatusSet, TerminalId};
use protocol::jt808::{BcdTime, Edition, ItemValue, LocationReport};
use sha2::{Digest as _, Sha256};

/// JT/T 808 times are GMT+8, which has no summer time.
const GMT_PLUS_8: TimeDelta = TimeDelta::hours(8);
/// Before this year no terminal of these standards was on the road: its clock is wrong.
const YEAR_MIN: u16 = 2010;
/// How far a terminal's clock may be ahead.
const AHEAD_MAX: TimeDelta = TimeDelta::hours(24);
/// Most bytes of a body: more than a session puts together from packages.
pub(crate) const BODY_BYTES_MAX: usize = 128 * 1024;

/// Why a body is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReportError {
    /// Shorter than the fixed part.
    #[error("shorter than the 28 bytes that every location has")]
    Short,
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("longer than {BODY_BYTES_MAX} bytes")]
    Long,
}

/// The report that `body` is (JT/T 808, 0x0200: 28 bytes and additional items), of `terminal`, which
/// arrived at `received_at`.
pub(crate) fn report(
    terminal: TerminalId,
    body: &[u8],
    received_at: DateTime<Utc>,
) -> Result<Report, ReportError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ReportError::Long);
    }
    // The body is the same in all editions.
    let location = LocationReport::decode(body, Edition::V2013).map_err(|_| ReportError::Short)?;
    let mut position = Position {
        terminal,
        device_time: device_time(location.time, received_at),
        received_at,
        latitude: f64::from(location.latitude_e6()) / 1e6,
        longitude: f64::from(location.longitude_e6()) / 1e6,
        altitude_m: i32::from(location.altitude_m()),
        speed_kmh: f64::from(location.speed_x10) / 10.0,
        direction_deg: location.direction % 360,
        status: StatusSet(location.status),
        alarms: AlarmSet::default(),
        mileage_km: None,
        fuel_l: None,
        recorder_speed_kmh: None,
        signal: None,
        satellites: None,
    };
    let mut video_alarms = 0;
    for item in location.items {
        match item.read() {
            ItemValue::Mileage { mileage_x10 } => position.mileage_km = Some(f64::from(mileage_x10) / 10.0),
            ItemValue::Fuel { fuel_x10 } => position.fuel_l = Some(f64::from(fuel_x10) / 10.0),
            ItemValue::RecorderSpeed { speed_x10 } => {
                position.recorder_speed_kmh = Some(f64::from(speed_x10) / 10.0);
            }
            ItemValue::VideoAlarms(bits) => video_alarms = bits,
            ItemValue::Signal(strength) => position.signal = Some(strength),
            ItemValue::Satellites(count) => position.satellites = Some(count),
            _ => {}
        }
    }
    position.alarms = AlarmSet::from_words(location.alarm, video_alarms);
    Ok(Report { position, body: body.into(), hash: hash(body) })
}

/// The first 64 bits of the body's SHA-256.
pub(crate) fn hash(body: &[u8]) -> i64 {
    let digest: [u8; 32] = Sha256::digest(body).into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// None where it is impossible: not decimal, no calendar time, before 2010, more than a day ahead.
fn device_time(time: BcdTime, received_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let (year, month, day, hour, minute, second) = time.fields()?;
    let local = NaiveDate::from_ymd_opt(i32::from(year), u32::from(month), u32::from(day))?.and_hms_opt(
        u32::from(hour),
        u32::from(minute),
        u32::from(second),
    )?;
    let utc = local.and_utc().checked_sub_signed(GMT_PLUS_8)?;
    (year >= YEAR_MIN && utc <= received_at + AHEAD_MAX).then_some(utc)
}

#[cfg(test)]
mod tests {
    use protocol::jt808::{Item, Items};

    use super::*;

    fn received_at() -> DateTime<Utc> {
        "2026-11-22T04:00:00Z".parse().expect("a time")
    }

    fn body(location: &LocationReport<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        location.encode(&mut body, Edition::V2013);
        body
    }

    fn at(bytes: [u8; 6]) -> Option<DateTime<Utc>> {
        let location = LocationReport { time: BcdTime(bytes), ..LocationReport::default() };
        report(TerminalId(1), &body(&location), received_at()).expect("a report").position.device_time
    }

    #[test]
    fn a_report_becomes_a_position() {
        let mut items = Vec::new();
        for (id, value) in [
            (0x01, &1_234u32.to_be_bytes()[..]),
            (0x02, &567u16.to_be_bytes()),
            (0x03, &451u16.to_be_bytes()),
            (0x14, &0b101u32.to_be_bytes()),
            (0x30, &[31]),
            (0x31, &[12]),
            (0xe1, b"vendor"),
        ] {
            Item { id, value }.encode(&mut items);
        }
        let mut location = LocationReport {
            alarm: 0b11,
            status: 0b11,
            altitude_word: 0xfffb,
            speed_x10: 456,
            direction: 361,
            time: BcdTime([0x26, 0x11, 0x22, 0x11, 0x59, 0x58]),
            items: Items(&items),
            ..LocationReport::default()
        };
        location.set_coordinates(-22_500_000, 114_000_001);
        let body = body(&location);
        let report = report(TerminalId(7), &body, received_at()).expect("a report");
        let position = &report.position;
        assert_eq!(position.device_time, Some("2026-11-22T03:59:58Z".parse().expect("a time")));
        assert_eq!((position.latitude, position.longitude), (-22.5, 114.000001));
        assert_eq!((position.altitude_m, position.speed_kmh, position.direction_deg), (-5, 45.6, 1));
        assert_eq!(position.alarms, AlarmSet(0b101 << 32 | 0b11));
        assert_eq!(
            (position.mileage_km, position.fuel_l, position.recorder_speed_kmh),
            (Some(123.4), Some(56.7), Some(45.1))
        );
        assert_eq!((position.signal, position.satellites), (Some(31), Some(12)));
        assert_eq!(report.body[..], body[..]);
        assert_eq!(report.hash.to_be_bytes()[..], Sha256::digest(&body)[..8]);
    }

    #[test]
    fn an_impossible_time_is_none() {
        assert_eq!(at([0; 6]), None, "before the first fix");
        assert_eq!(at([0x09, 0x12, 0x31, 0x23, 0x59, 0x59]), None, "before 2010");
        assert!(at([0x10, 0x01, 0x01, 0x00, 0x00, 0x00]).is_some());
        assert_eq!(at([0x1a, 0x11, 0x22, 0x11, 0x59, 0x58]), None, "not decimal");
        assert_eq!(at([0x26, 0x02, 0x30, 0x11, 0x59, 0x58]), None, "no such day");
        assert!(at([0x26, 0x11, 0x23, 0x12, 0x00, 0x00]).is_some(), "24 hours ahead");
        assert_eq!(at([0x26, 0x11, 0x23, 0x12, 0x00, 0x01]), None, "more than that");
    }

    #[test]
    fn a_body_of_another_size_is_no_report() {
        assert_eq!(report(TerminalId(1), &[0; 27], received_at()), Err(ReportError::Short));
        assert_eq!(
            report(TerminalId(1), &vec![0; BODY_BYTES_MAX + 1], received_at()),
            Err(ReportError::Long)
        );
    }
}
