//! Device profiles. A terminal refers to one by its own `device_profile_id`.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use model::DeviceProfileId;
use openapi::device_profile::{DeviceProfile, DeviceProfileChange, NewDeviceProfile};
use openapi::page::{Page, PageQuery};

use crate::body::Json;
use crate::caller::{Caller, ManageVehicles, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// The device profiles in the caller's scope, by key.
#[utoipa::path(tag = "device profile", security(("bearer" = ["view"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<DeviceProfile>)))]
#[get("/device-profiles")]
pub(crate) async fn list_device_profiles(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<DeviceProfile>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.device_profiles(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// One device profile.
#[utoipa::path(tag = "device profile", security(("bearer" = ["view"])), params(("id" = DeviceProfileId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = DeviceProfile),
))]
#[get("/device-profiles/{id}")]
pub(crate) async fn device_profile(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<DeviceProfileId>,
) -> Outcome<Json<DeviceProfile>> {
    Ok(Json(state.db.device_profile(&caller.scope, *id).await.or_no_such("device profile")?.into()))
}

/// Make a device profile.
#[utoipa::path(tag = "device profile", security(("bearer" = ["manage_vehicles"])), responses(
    (status = 201, description = "Made", body = DeviceProfile, headers(("location" = String, description = "Where it is"))),
    (status = 404, description = "No such company"),
    (status = 409, description = "The name is taken"),
))]
#[post("/device-profiles")]
pub(crate) async fn create_device_profile(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    new: Json<NewDeviceProfile>,
) -> Outcome<HttpResponse> {
    let made = state.db.create_device_profile(&caller.scope, new.into_inner().into()).await;
    let made: DeviceProfile = made.or_no_such("company")?.into();
    let location = format!("/api/v1/device-profiles/{}", made.id);
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(made))
}

/// Change a device profile; what is absent stays. Terminals that have it are met by it when they next register, or log in
/// half a minute later.
#[utoipa::path(tag = "device profile", security(("bearer" = ["manage_vehicles"])), params(("id" = DeviceProfileId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = DeviceProfile),
    (status = 409, description = "The name is taken"),
))]
#[patch("/device-profiles/{id}")]
pub(crate) async fn change_device_profile(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<DeviceProfileId>,
    change: Json<DeviceProfileChange>,
) -> Outcome<Json<DeviceProfile>> {
    let changed = state.db.change_device_profile(&caller.scope, *id, change.into_inner().into()).await;
    Ok(Json(changed.or_no_such("device profile")?.into()))
}

/// Delete a device profile that no terminal has.
#[utoipa::path(tag = "device profile", security(("bearer" = ["manage_vehicles"])), params(("id" = DeviceProfileId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "A terminal has it"),
))]
#[delete("/device-profiles/{id}")]
pub(crate) async fn delete_device_profile(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<DeviceProfileId>,
) -> Outcome<HttpResponse> {
    state.db.delete_device_profile(&caller.scope, *id).await.or_no_such("device profile")?;
    Ok(HttpResponse::NoContent().finish())
}
