//! `queryUserVehicle`: all companies, vehicles and devices that the account sees. The original does not page
//! this reply: it is as long as the account's fleet.

use std::collections::HashMap;

use actix_web::HttpRequest;
use chrono::FixedOffset;
use db::{Company, DbError, Page, Vehicle, VehicleQuery};
use model::{CompanyId, Scope};
use openapi::cmsv6::vehicle as wire;

use super::parameters::Parameters;
use super::reply::{Reply, db_failure, success};
use super::session::viewer;
use super::time;
use crate::state::State;

pub(super) async fn query_user_vehicle(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Reply {
    let scope = viewer(request, state, parameters).await?.scope;
    let _turn = state.large_replies.turn().await?;
    let companies = all_companies(state, &scope).await.map_err(db_failure)?;
    let vehicles = all_vehicles(state, &scope).await.map_err(db_failure)?;
    let names: HashMap<CompanyId, &str> =
        companies.iter().map(|company| (company.id, company.name.as_str())).collect();
    success(wire::UserVehicles {
        vehicles: vehicles
            .into_iter()
            .map(|vehicle| wire_vehicle(vehicle, &names, state.cmsv6_zone))
            .collect(),
        companys: companies.iter().map(|company| wire_company(company, &names)).collect(),
    })
}

async fn all_companies(state: &State, scope: &Scope) -> Result<Vec<Company>, DbError> {
    let (mut all, mut page) = (Vec::new(), Page::largest());
    loop {
        let companies = state.db.companies(scope, &page).await?;
        all.extend(companies.items);
        match companies.next_cursor {
            Some(next) => page = page.at(next),
            None => return Ok(all),
        }
    }
}

async fn all_vehicles(state: &State, scope: &Scope) -> Result<Vec<Vehicle>, DbError> {
    let (mut all, mut page) = (Vec::new(), Page::largest());
    loop {
        let vehicles = state.db.vehicles(scope, &VehicleQuery::default(), &page).await?;
        all.extend(vehicles.items);
        match vehicles.next_cursor {
            Some(next) => page = page.at(next),
            None => return Ok(all),
        }
    }
}

fn wire_company(company: &Company, visible: &HashMap<CompanyId, &str>) -> wire::Company {
    let parent = company.parent_id.filter(|parent| visible.contains_key(parent)).map_or(0, |parent| parent.0);
    wire::Company { id: company.id.0, nm: company.name.clone(), pid: parent, parent }
}

fn wire_vehicle(vehicle: Vehicle, names: &HashMap<CompanyId, &str>, zone: FixedOffset) -> wire::Vehicle {
    let Vehicle { id, company_id, plate, plate_colour, created_at: _, terminals } = vehicle;
    wire::Vehicle {
        id: id.0,
        nm: plate,
        ic: 1,
        pid: company_id.0,
        pnm: names.get(&company_id).copied().unwrap_or_default().to_owned(),
        pt: plate_colour.to_string(),
        vehicle_type: 2,
        dl: terminals.into_iter().map(|terminal| wire_device(terminal, zone)).collect(),
        abbr: None,
        adt: None,
        desc: None,
        djb: None,
        dn: None,
        dt: None,
        etm: None,
        lines_operation: None,
        phone: None,
        pvg: None,
        st: None,
        vtp: None,
        vehi_type: "",
        vehi_color: "",
        vehi_band: "",
        owner_name: "",
        engine_num: "",
        frame_num: "",
    }
}

fn wire_device(terminal: db::Terminal, zone: FixedOffset) -> wire::Device {
    // A comma would make two channels of one.
    let names: Vec<String> = terminal.channels.iter().map(|channel| channel.name.replace(',', " ")).collect();
    wire::Device {
        id: terminal.device_no,
        pid: terminal.company_id.0,
        ic: 0,
        io: "",
        cc: terminal.channels.len(),
        cn: names.join(","),
        tc: 0,
        tn: "",
        md: 1,
        sim: Some(terminal.sim.to_string()),
        nflt: 0,
        did: terminal.id.0,
        row: terminal.id.0,
        isb: 6,
        us: 0,
        pay_end: 0,
        ist: time::show(terminal.created_at, zone),
        sdc: None,
        st: None,
        vt: None,
    }
}
