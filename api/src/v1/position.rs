//! Where terminals are, and tracks.

use std::sync::Arc;

use actix_web::get;
use actix_web::web::{Data, Path};
use db::Track;
use model::{Position, TerminalId, VehicleId};
use openapi::page::Page;
use openapi::position::{LatestPosition, LatestQuery, TrackQuery};

use crate::body::Json;
use crate::caller::{Caller, View};
use crate::latest::Terminal;
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// Where the terminals in the caller's scope are now, by terminal.
#[utoipa::path(tag = "position", security(("bearer" = ["view"])), params(LatestQuery), responses(
    (status = 200, description = "A page of them", body = Page<LatestPosition>),
    (status = 404, description = "No such company"),
))]
#[get("/positions/latest")]
pub(crate) async fn list_latest_positions(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<LatestQuery>,
) -> Outcome<Json<Page<LatestPosition>>> {
    let LatestQuery { company_id, cursor, limit } = query.into_inner();
    let page = page(cursor, limit)?;
    if let Some(id) = company_id {
        state.db.company(&caller.scope, id).await.or_no_such("company")?;
    }
    let fleet = state.latest.fleet(&caller.scope).await?;
    let wanted = |terminal: &&Arc<Terminal>| {
        company_id.is_none_or(|top| fleet.is_below(terminal.place().company_id, top))
    };
    let after = |after: Option<i64>| fleet.seen_after(&caller.scope, after.map(TerminalId)).filter(wanted);
    let positions = page.pick(after, |terminal| terminal.id().0)?;
    Ok(Json(positions.map(|terminal| terminal.latest()).into()))
}

/// The track of a vehicle: the positions of its terminals, by rising device time.
#[utoipa::path(tag = "position", security(("bearer" = ["view"])), params(("id" = VehicleId, Path, description = "The vehicle's key"), TrackQuery), responses(
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
