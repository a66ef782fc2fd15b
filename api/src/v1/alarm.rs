//! Alarms, and handling them.

use actix_web::web::{Data, Path};
use actix_web::{delete, get, post};
use model::AlarmId;
use openapi::alarm::{AlarmQuery, AlarmRecord, HandleRequest};
use openapi::page::Page;

use crate::body::Json;
use crate::caller::{Caller, HandleAlarms, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// The alarms in the caller's scope, the latest start first.
#[utoipa::path(tag = "alarm", security(("bearer" = ["view"])), params(AlarmQuery), responses(
    (status = 200, description = "A page of them", body = Page<AlarmRecord>),
    (status = 404, description = "No such vehicle or terminal"),
))]
#[get("/alarms")]
pub(crate) async fn list_alarms(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<AlarmQuery>,
) -> Outcome<Json<Page<AlarmRecord>>> {
    let query = query.into_inner();
    if let Some(id) = query.vehicle_id {
        state.db.vehicle(&caller.scope, id).await.or_no_such("vehicle")?;
    }
    if let Some(id) = query.terminal_id {
        state.db.terminal(&caller.scope, id).await.or_no_such("terminal")?;
    }
    let wanted = db::AlarmQuery::from(&query);
    let alarms = state.db.alarms(&caller.scope, &wanted, &page(query.cursor, query.limit)?).await?;
    Ok(Json(alarms.into()))
}

/// One alarm.
#[utoipa::path(tag = "alarm", security(("bearer" = ["view"])), params(("id" = AlarmId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = AlarmRecord),
))]
#[get("/alarms/{id}")]
pub(crate) async fn alarm(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<AlarmId>,
) -> Outcome<Json<AlarmRecord>> {
    Ok(Json(state.db.alarm(&caller.scope, *id).await.or_no_such("alarm")?.into()))
}

/// Say that an alarm is handled; a second time replaces the first.
#[utoipa::path(tag = "alarm", security(("bearer" = ["handle_alarms"])), params(("id" = AlarmId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = AlarmRecord),
))]
#[post("/alarms/{id}/handle")]
pub(crate) async fn handle_alarm(
    caller: Caller<HandleAlarms>,
    state: Data<State>,
    id: Path<AlarmId>,
    handling: Json<HandleRequest>,
) -> Outcome<Json<AlarmRecord>> {
    let handled = state.db.handle_alarm(&caller.scope, *id, handling.into_inner().note).await;
    Ok(Json(handled.or_no_such("alarm")?.into()))
}

/// Take back that an alarm is handled.
#[utoipa::path(tag = "alarm", security(("bearer" = ["handle_alarms"])), params(("id" = AlarmId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = AlarmRecord),
))]
#[delete("/alarms/{id}/handle")]
pub(crate) async fn unhandle_alarm(
    caller: Caller<HandleAlarms>,
    state: Data<State>,
    id: Path<AlarmId>,
) -> Outcome<Json<AlarmRecord>> {
    Ok(Json(state.db.unhandle_alarm(&caller.scope, *id).await.or_no_such("alarm")?.into()))
}
