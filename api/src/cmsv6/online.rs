//! `getDeviceOlStatus`, and which devices a call names.

use std::collections::HashSet;

use actix_web::HttpRequest;
use db::{LatestPosition, Page};
use model::Scope;
use openapi::cmsv6::envelope::{Code, Failure};
use openapi::cmsv6::vehicle::{Online, Onlines};

use super::parameters::Parameters;
use super::reply::{Reply, db_failure, failure, success};
use super::session::viewer;
use crate::state::State;

/// Most devices in one reply, which the original does not page.
const DEVICES_MAX: usize = 50_000;

pub(super) async fn device_online_status(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let Named { devices, by_device } = named(state, &scope, parameters).await?;
    let wanted = parameters.number("status");
    let onlines = devices
        .into_iter()
        .map(|device| Online {
            did: device.device_no,
            vid: device.plate.filter(|_| !by_device),
            online: u8::from(device.online),
        })
        .filter(|device| wanted.is_none_or(|wanted| wanted == u32::from(device.online)))
        .collect();
    success(Onlines { onlines })
}

/// The devices that a call names.
pub(super) struct Named {
    pub(super) devices: Vec<LatestPosition>,
    /// By device number: the plate is then not told.
    pub(super) by_device: bool,
}

/// By `devIdno`, else by `vehiIdno`, else all. Names of nothing visible are left out; where nothing is left
/// the first failing kind is told.
pub(super) async fn named(state: &State, scope: &Scope, parameters: &Parameters) -> Result<Named, Failure> {
    if let Some(numbers) = parameters.list("devIdno") {
        let devices = by_number(state, scope, numbers).await?;
        if devices.is_empty() {
            return Err(failure(Code::NoDevice, "no such device"));
        }
        return Ok(Named { devices, by_device: true });
    }
    let mut devices = all(state, scope).await?;
    if let Some(plates) = parameters.list("vehiIdno") {
        let plates: HashSet<String> = plates.into_iter().collect();
        devices.retain(|device| device.plate.as_ref().is_some_and(|plate| plates.contains(plate)));
        if devices.is_empty() {
            return Err(failure(Code::NoVehicle, "no such vehicle"));
        }
    }
    Ok(Named { devices, by_device: false })
}

async fn by_number(
    state: &State,
    scope: &Scope,
    numbers: Vec<String>,
) -> Result<Vec<LatestPosition>, Failure> {
    // One device is the usual question; for more, one pass over all costs less than a query each.
    if let [number] = numbers.as_slice() {
        let Some(terminal) = device(state, scope, number).await? else { return Ok(Vec::new()) };
        return Ok(vec![state.db.latest_position(scope, terminal.id).await.map_err(db_failure)?]);
    }
    let numbers: HashSet<String> = numbers.into_iter().map(|number| number.to_lowercase()).collect();
    let mut devices = all(state, scope).await?;
    devices.retain(|device| numbers.contains(&device.device_no.to_lowercase()));
    Ok(devices)
}

/// The device with this number, if it is visible.
pub(super) async fn device(
    state: &State,
    scope: &Scope,
    number: &str,
) -> Result<Option<db::Terminal>, Failure> {
    match state.db.terminal_by_device_no(scope, number).await {
        Ok(terminal) => Ok(Some(terminal)),
        Err(db::DbError::NotFound) => Ok(None),
        Err(error) => Err(db_failure(error)),
    }
}

async fn all(state: &State, scope: &Scope) -> Result<Vec<LatestPosition>, Failure> {
    let (mut all, mut page) = (Vec::new(), Page::largest());
    loop {
        let devices = state.db.latest_positions(scope, None, &page).await.map_err(db_failure)?;
        all.extend(devices.items);
        match devices.next_cursor {
            Some(next) if all.len() < DEVICES_MAX => page = page.at(next),
            _ => return Ok(all),
        }
    }
}
