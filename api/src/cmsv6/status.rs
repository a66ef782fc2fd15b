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

/// A position in this face's shape; one without a position has zeros.
pub(super) fn show(
    device_no: String,
    position: Option<&Position>,
    map: Map,
    zone: FixedOffset,
) -> DeviceStatus {
    let known =
        DeviceStatus { id: device_no, pt: 6, fdt: 3, dt: 1, net: 3, gw: "G1", ..DeviceStatus::default() };
    let Some(position) = position else {
        return DeviceStatus { mlng: degrees(0.0), mlat: degrees(0.0), ..known };
    };
    // Without a fix a terminal repeats old coordinates; here they are 0.
    let (longitude, latitude) = match position.status.located() {
        true => (position.longitude, position.latitude),
        false => (0.0, 0.0),
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
