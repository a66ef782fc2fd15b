//! `getDeviceOlStatus`, and which devices a call names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use actix_web::HttpRequest;
use db::LatestPosition;
use model::Scope;
use openapi::cmsv6::envelope::{Code, Failure};
use openapi::cmsv6::vehicle::{Online, Onlines};
use tokio::sync::SemaphorePermit;

use super::parameters::Parameters;
use super::reply::{Reply, failure, not_read, success};
use super::session::viewer;
use crate::latest::Terminal;
use crate::state::State;

pub(super) async fn device_online_status(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let Named { devices, by_device, turn: _turn } = named(state, &scope, parameters).await?;
    let wanted: Option<u8> = parameters.number("status")?;
    let onlines = devices
        .into_iter()
        .map(|device| Online {
            did: device.device_no,
            vid: device.plate.filter(|_| !by_device),
            online: u8::from(device.online),
        })
        .filter(|device| wanted.is_none_or(|wanted| wanted == device.online))
        .collect();
    success(Onlines { onlines })
}

/// The devices that a call names.
pub(super) struct Named<'a> {
    pub(super) devices: Vec<LatestPosition>,
    /// By device number: the plate is then not told.
    pub(super) by_device: bool,
    /// The turn to build the reply, where it is a large one: to be held until it is built.
    pub(super) turn: Option<SemaphorePermit<'a>>,
}

/// By `devIdno`, else by `vehiIdno`, else all. Names of nothing visible are left out; where nothing is left,
/// there is no such device or vehicle. Another company's is as one that is not there: the original's code 8
/// would tell that it is.
pub(super) async fn named<'a>(
    state: &'a State,
    scope: &Scope,
    parameters: &Parameters,
) -> Result<Named<'a>, Failure> {
    let fleet = state.latest.fleet(scope).await.map_err(not_read)?;
    let (devices, by_device): (Vec<&Arc<Terminal>>, bool) = if let Some(numbers) = parameters.list("devIdno")
    {
        let devices = numbers.iter().filter_map(|number| fleet.device(scope, number));
        // A number that comes twice names one device.
        let devices: BTreeMap<_, _> = devices.map(|device| (device.id(), device)).collect();
        if devices.is_empty() {
            return Err(failure(Code::NoDevice, "no such device"));
        }
        (devices.into_values().collect(), true)
    } else if let Some(plates) = parameters.list("vehiIdno") {
        let plates: HashSet<String> = plates.into_iter().collect();
        let carried = |device: &&Arc<Terminal>| device.plate().is_some_and(|plate| plates.contains(plate));
        let devices: Vec<&Arc<Terminal>> = fleet.seen(scope).filter(carried).collect();
        if devices.is_empty() {
            return Err(failure(Code::NoVehicle, "no such vehicle"));
        }
        (devices, false)
    } else {
        (fleet.seen(scope).collect(), false)
    };
    let turn = state.large_replies.turn_for(devices.len()).await?;
    Ok(Named { devices: devices.into_iter().map(|device| device.latest()).collect(), by_device, turn })
}

/// The device with this number, if it is visible.
pub(super) async fn device(state: &State, scope: &Scope, number: &str) -> Result<LatestPosition, Failure> {
    let fleet = state.latest.fleet(scope).await.map_err(not_read)?;
    let device = fleet.device(scope, number).map(|device| device.latest());
    device.ok_or_else(|| failure(Code::NoDevice, "no such device"))
}
