//! Where terminals are, and tracks.

use actix_web::get;
use actix_web::web::{Data, Json, Path, Query};
use db::Track;
use model::{Position, VehicleId};
use openapi::page::Page;
use openapi::position::{LatestPosition, LatestQuery, TrackQuery};

use crate::caller::{Caller, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::state::State;
use crate::v1::page;

/// Where the terminals in the caller's scope are now, by terminal.
#[utoipa::path(tag = "position", security(("bearer" = ["view"])), responses((status = 200, description = "A page of them", body = Page<LatestPosition>)))]
#[get("/positions/latest")]
pub(crate) async fn list_latest_positions(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<LatestQuery>,
) -> Outcome<Json<Page<LatestPosition>>> {
    let LatestQuery { company_id, cursor, limit } = query.into_inner();
    let positions = state.db.latest_positions(&caller.scope, company_id, &page(cursor, limit)?).await?;
    Ok(Json(positions.into()))
}

/// The track of a vehicle: the positions of its terminals, by rising device time.
#[utoipa::path(tag = "position", security(("bearer" = ["view"])), params(("id" = VehicleId, Path, description = "The vehicle's key")), responses(
    (status = 200, description = "A page of it", body = Page<Position>),
))]
#[get("/vehicles/{id}/track")]
pub(crate) async fn track(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<VehicleId>,
    query: Query<TrackQuery>,
) -> Outcome<Json<Page<Position>>> {
    let TrackQuery { from, to, cursor, limit } = query.into_inner();
    let page = page(cursor, limit)?;
    state.db.vehicle(&caller.scope, *id).await.or_no_such("vehicle")?;
    let track = state.db.track_between(&caller.scope, Track::Vehicle(*id), from, to, &page).await;
    Ok(Json(track.or_no_such("vehicle")?.into()))
}
