//! Vehicles, each with its terminals.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use db::DbError;
use model::VehicleId;
use openapi::page::Page;
use openapi::vehicle::{NewVehicle, Vehicle, VehicleChange, VehicleQuery};

use crate::body::Json;
use crate::caller::{Caller, ManageVehicles, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::State;
use crate::v1::{bounded, page};

/// The longest text that is searched for, characters.
const Q_CHARS_MAX: usize = 64;

/// The vehicles in the caller's scope, by key.
#[utoipa::path(tag = "vehicle", security(("bearer" = ["view"])), params(VehicleQuery), responses(
    (status = 200, description = "A page of them", body = Page<Vehicle>),
    (status = 404, description = "No such company"),
))]
#[get("/vehicles")]
pub(crate) async fn list_vehicles(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<VehicleQuery>,
) -> Outcome<Json<Page<Vehicle>>> {
    let VehicleQuery { company_id, q, online, cursor, limit } = query.into_inner();
    if let Some(q) = &q {
        bounded("q", q, Q_CHARS_MAX)?;
    }
    if let Some(id) = company_id {
        state.db.company(&caller.scope, id).await.or_no_such("company")?;
    }
    let wanted = db::VehicleQuery { company_id, text: q, online };
    Ok(Json(state.db.vehicles(&caller.scope, &wanted, &page(cursor, limit)?).await?.into()))
}

/// One vehicle.
#[utoipa::path(tag = "vehicle", security(("bearer" = ["view"])), params(("id" = VehicleId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = Vehicle),
))]
#[get("/vehicles/{id}")]
pub(crate) async fn vehicle(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<VehicleId>,
) -> Outcome<Json<Vehicle>> {
    Ok(Json(state.db.vehicle(&caller.scope, *id).await.or_no_such("vehicle")?.into()))
}

/// Make a vehicle.
#[utoipa::path(tag = "vehicle", security(("bearer" = ["manage_vehicles"])), responses(
    (status = 201, description = "Made", body = Vehicle, headers(("location" = String, description = "Where it is"))),
    (status = 404, description = "No such company"),
    (status = 409, description = "The plate is taken"),
))]
#[post("/vehicles")]
pub(crate) async fn create_vehicle(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    new: Json<NewVehicle>,
) -> Outcome<HttpResponse> {
    let made = state.db.create_vehicle(&caller.scope, new.into_inner().into()).await;
    let made: Vehicle = made.or_no_such("company")?.into();
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/vehicles/{}", made.id))).json(made))
}

/// Change a vehicle; what is absent stays.
#[utoipa::path(tag = "vehicle", security(("bearer" = ["manage_vehicles"])), params(("id" = VehicleId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = Vehicle),
    (status = 409, description = "The plate is taken"),
))]
#[patch("/vehicles/{id}")]
pub(crate) async fn change_vehicle(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<VehicleId>,
    change: Json<VehicleChange>,
) -> Outcome<Json<Vehicle>> {
    let changed = state.db.change_vehicle(&caller.scope, *id, change.into_inner().into()).await;
    // What it carries moved with it, or bears another plate.
    match &changed {
        Ok(known) => {
            state.latest.terminals_changed(known.terminals.iter().map(|terminal| terminal.id)).await;
        }
        Err(DbError::OutcomeUnknown) => state.latest.vehicle_changed(*id).await,
        Err(_) => {}
    }
    let changed = changed.or_no_such("vehicle or company")?;
    Ok(Json(changed.into()))
}

/// Delete a vehicle that carries no terminal.
#[utoipa::path(tag = "vehicle", security(("bearer" = ["manage_vehicles"])), params(("id" = VehicleId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "It carries a terminal"),
))]
#[delete("/vehicles/{id}")]
pub(crate) async fn delete_vehicle(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<VehicleId>,
) -> Outcome<HttpResponse> {
    state.db.delete_vehicle(&caller.scope, *id).await.or_no_such("vehicle")?;
    Ok(HttpResponse::NoContent().finish())
}
