//! `getDeviceStatus`: where devices are and how they are.

use actix_web::HttpRequest;
use chrono::FixedOffset;
use model::Position;
use openapi::cmsv6::status::{DeviceStatus, Statuses};

use super::coordinates::Map;
use super::online::{Named, named};
use super::parameters::Parameters;
use super::reply::{Reply, success};
use super::session::viewer;
use super::status_words::StatusWords;
use super::time;
use crate::state::State;

pub(super) async fn device_status(request: &HttpRequest, state: &State, parameters: &Parameters) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let Named { devices, by_device, turn: _turn } = named(state, &scope, parameters).await?;
    let map = Map::of(parameters.number("toMap")?);
    let status = devices
        .into_iter()
        .map(|device| {
            let shown = show(device.device_no, device.position.as_ref(), map, state.cmsv6_zone);
            DeviceStatus {
                vid: device.plate.filter(|_| !by_device),
                ol: Some(u8::from(device.online)),
                // The original's status has tenths of a second, its tracks have not.
                gt: if shown.gt.is_empty() { shown.gt } else { format!("{}.0", shown.gt) },
                ..shown
            }
        })
        .collect();
    success(Statuses { status })
}

/// A position in this face's shape; a device that never reported has zeros, and no time: `gt` is empty.
pub(super) fn show(
    device_no: String,
    position: Option<&Position>,
    map: Map,
    zone: FixedOffset,
) -> DeviceStatus {
    let known =
        DeviceStatus { id: device_no, pt: 6, fdt: 3, dt: 1, net: 3, gw: "G1", ..DeviceStatus::default() };
    let Some(position) = position else {
        let (mlng, mlat) = (degrees(0.0), degrees(0.0));
        return DeviceStatus { ps: format!("{mlng},{mlat}"), mlng, mlat, ..known };
    };
    // Without a fix a terminal repeats old coordinates; here they are 0, on every map.
    let (longitude, latitude, map) = match position.status.located() {
        true => (position.longitude, position.latitude, map),
        false => (0.0, 0.0, Map::Wgs84),
    };
    let (map_longitude, map_latitude) = map.place(longitude, latitude);
    let (mlng, mlat) = (degrees(map_longitude), degrees(map_latitude));
    let StatusWords { s1, s2, s3, s4 } = StatusWords::of(position);
    DeviceStatus {
        lng: scaled(longitude, 1e6),
        lat: scaled(latitude, 1e6),
        ps: format!("{mlng},{mlat}"),
        mlng,
        mlat,
        sp: scaled(position.speed_kmh, 10.0),
        hx: i32::from(position.direction_deg),
        gt: time::show(position.at(), zone),
        s1,
        s2,
        s3,
        s4,
        lc: (position.mileage_km.unwrap_or(0.0) * 1e3).round() as i64,
        yl: scaled(position.fuel_l.unwrap_or(0.0), 100.0),
        tsp: scaled(position.recorder_speed_kmh.unwrap_or(0.0), 10.0),
        sn: position.satellites.map_or(0, i32::from),
        ..known
    }
}

fn degrees(value: f64) -> String {
    format!("{value:.6}")
}

/// The nearest whole number; what does not fit stops at the end of the range.
fn scaled(value: f64, by: f64) -> i32 {
    (value * by).round() as i32
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use model::{AlarmSet, StatusSet, TerminalId};
    use serde_json::{Value, json};

    use super::*;

    fn position() -> Position {
        let time: DateTime<Utc> = "2026-11-22T18:30:05Z".parse().expect("a time");
        Position {
            terminal: TerminalId(1),
            device_time: Some(time),
            received_at: time,
            latitude: -6.769745,
            longitude: 39.239251,
            altitude_m: 55,
            speed_kmh: 60.54,
            direction_deg: 359,
            status: StatusSet(0b11),
            alarms: AlarmSet(0),
            mileage_km: Some(12_345.678),
            fuel_l: Some(45.67),
            recorder_speed_kmh: Some(61.5),
            signal: Some(31),
            satellites: Some(14),
        }
    }

    fn row(position: Option<&Position>, map: Map) -> Value {
        let zone = FixedOffset::east_opt(8 * 3600).expect("a zone");
        serde_json::to_value(show("013912345678".into(), position, map, zone)).expect("JSON")
    }

    #[test]
    fn values_have_the_units_of_the_reference() {
        let row = row(Some(&position()), Map::Wgs84);
        for (key, value) in [
            ("id", json!("013912345678")),
            ("lng", json!(39_239_251)), // degrees x 1,000,000, south and west negative
            ("lat", json!(-6_769_745)),
            ("mlng", json!("39.239251")), // degrees with six decimals, as text
            ("mlat", json!("-6.769745")),
            ("ps", json!("39.239251,-6.769745")), // text; of a place that nobody named, the two above
            ("sp", json!(605)),                   // km/h x 10
            ("tsp", json!(615)),                  // as sp
            ("yl", json!(4_567)),                 // litres x 100
            ("viceYl", json!(0)),
            ("lc", json!(12_345_678)), // metres
            ("hx", json!(359)),
            ("sn", json!(14)),
            ("gt", json!("2026-11-23 02:30:05")), // in the face's zone
            ("t1", json!(0)),
            ("pk", json!(0)),
        ] {
            assert_eq!(row[key], value, "{key}");
        }
        // GPS valid, ACC on, antenna, best network; the marker of the new protocol; nothing else.
        assert_eq!((&row["s1"], &row["s2"]), (&json!(1 | 1 << 1 | 1 << 7 | 5 << 10), &json!(1 << 12)));
        assert_eq!((&row["s3"], &row["s4"]), (&json!(0), &json!(0)));
    }

    #[test]
    fn what_a_terminal_does_not_report_is_0() {
        let position = Position {
            mileage_km: None,
            fuel_l: None,
            recorder_speed_kmh: None,
            signal: None,
            satellites: None,
            ..position()
        };
        let row = row(Some(&position), Map::Wgs84);
        for key in ["lc", "yl", "tsp", "sn"] {
            assert_eq!(row[key], 0, "{key}");
        }
        assert_eq!(row["s1"].as_i64().expect("a number") >> 10 & 0b111, 0, "no network level");
    }

    #[test]
    fn places_without_a_fix_are_0_on_every_map() {
        let position = Position { status: StatusSet(0b01), latitude: 31.23, longitude: 121.47, ..position() };
        for map in [Map::Wgs84, Map::Gcj02, Map::Bd09] {
            let row = row(Some(&position), map);
            assert_eq!((&row["lng"], &row["lat"]), (&json!(0), &json!(0)), "{map:?}");
            let text = (&json!("0.000000"), &json!("0.000000"), &json!("0.000000,0.000000"));
            assert_eq!((&row["mlng"], &row["mlat"], &row["ps"]), text, "{map:?}");
            assert_eq!(row["s1"].as_i64().expect("a number") & 0b11, 0b10, "ACC on, no fix");
            // The rest is as reported.
            assert_eq!((&row["sp"], &row["gt"]), (&json!(605), &json!("2026-11-23 02:30:05")));
        }
    }

    #[test]
    fn the_row_of_a_device_that_never_reported_has_every_key_with_its_type() {
        let (never, reported) = (row(None, Map::Gcj02), row(Some(&position()), Map::Gcj02));
        let (never, reported) = (never.as_object().expect("a row"), reported.as_object().expect("a row"));
        assert!(never.keys().eq(reported.keys()));
        for (key, value) in never {
            let same = std::mem::discriminant(value) == std::mem::discriminant(&reported[key]);
            assert!(same, "{key} is {value}, of others {}", reported[key]);
            if let Some(number) = value.as_i64() {
                let told = ["pt", "fdt", "dt", "net"].contains(&key.as_str());
                assert_eq!(number != 0, told, "{key}");
            }
        }
        assert_eq!(
            (&never["ps"], &never["mlng"], &never["mlat"]),
            (&json!("0.000000,0.000000"), &json!("0.000000"), &json!("0.000000"))
        );
        assert_eq!(never["gt"], "", "no time, and text all the same");
    }

    #[test]
    fn what_no_number_holds_stops_at_the_end() {
        let position = Position {
            fuel_l: Some(1e300),
            mileage_km: Some(f64::INFINITY),
            recorder_speed_kmh: Some(f64::NAN),
            ..position()
        };
        let row = row(Some(&position), Map::Wgs84);
        assert_eq!((&row["yl"], &row["lc"], &row["tsp"]), (&json!(i32::MAX), &json!(i64::MAX), &json!(0)));
    }
}
