//! Terminals and their channels.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, patch, post};
use db::DbError;
use model::{Channel, TerminalId};
use openapi::page::{Page, PageQuery};
use openapi::terminal::{ChannelChange, NewTerminal, Terminal, TerminalChange, TerminalChannel};

use crate::body::Json;
use crate::caller::{Caller, ManageVehicles, View};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::{State, may_have_changed};
use crate::v1::page;

/// The terminals in the caller's scope, by key.
#[utoipa::path(tag = "terminal", security(("bearer" = ["view"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<Terminal>)))]
#[get("/terminals")]
pub(crate) async fn list_terminals(
    caller: Caller<View>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<Terminal>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.terminals(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// One terminal.
#[utoipa::path(tag = "terminal", security(("bearer" = ["view"])), params(("id" = TerminalId, Path, description = "Its key")), responses(
    (status = 200, description = "It", body = Terminal),
))]
#[get("/terminals/{id}")]
pub(crate) async fn terminal(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<TerminalId>,
) -> Outcome<Json<Terminal>> {
    Ok(Json(state.db.terminal(&caller.scope, *id).await.or_no_such("terminal")?.into()))
}

/// Make a terminal, so that it is admitted when it registers.
#[utoipa::path(tag = "terminal", security(("bearer" = ["manage_vehicles"])), responses(
    (status = 201, description = "Made", body = Terminal, headers(("location" = String, description = "Where it is"))),
    (status = 404, description = "No such vehicle or company"),
    (status = 409, description = "SIM or device number is taken"),
))]
#[post("/terminals")]
pub(crate) async fn create_terminal(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    new: Json<NewTerminal>,
) -> Outcome<HttpResponse> {
    let made = state.db.create_terminal(&caller.scope, new.into_inner().into()).await;
    match &made {
        Ok(known) => state.latest.terminals_changed([known.id]).await,
        // Nobody knows its key: where it was made, reading the whole finds it.
        Err(DbError::OutcomeUnknown) => state.latest.missed(),
        Err(_) => {}
    }
    let made: Terminal = made.or_no_such("vehicle or company")?.into();
    Ok(HttpResponse::Created().insert_header((LOCATION, format!("/api/v1/terminals/{}", made.id))).json(made))
}

/// Change a terminal; what is absent stays.
#[utoipa::path(tag = "terminal", security(("bearer" = ["manage_vehicles"])), params(("id" = TerminalId, Path, description = "Its key")), responses(
    (status = 200, description = "As it is now", body = Terminal),
    (status = 409, description = "The device number is taken"),
))]
#[patch("/terminals/{id}")]
pub(crate) async fn change_terminal(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<TerminalId>,
    change: Json<TerminalChange>,
) -> Outcome<Json<Terminal>> {
    let revoke = change.revoke_auth;
    let changed = state.db.change_terminal(&caller.scope, *id, change.into_inner().into()).await;
    if may_have_changed(&changed) {
        state.latest.terminals_changed([*id]).await;
        if revoke {
            state.terminals.disconnect(*id).await;
        }
    }
    let changed = changed.or_no_such("terminal, vehicle, company or device profile")?;
    Ok(Json(changed.into()))
}

/// Delete a terminal with its alarms; its link, if it has one, is closed first.
#[utoipa::path(tag = "terminal", security(("bearer" = ["manage_vehicles"])), params(("id" = TerminalId, Path, description = "Its key")), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "It is online still: try again"),
))]
#[delete("/terminals/{id}")]
pub(crate) async fn delete_terminal(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    id: Path<TerminalId>,
) -> Outcome<HttpResponse> {
    state.db.terminal(&caller.scope, *id).await.or_no_such("terminal")?;
    state.terminals.disconnect(*id).await;
    let deleted = state.db.delete_terminal(&caller.scope, *id).await;
    if may_have_changed(&deleted) {
        state.latest.terminals_changed([*id]).await;
    }
    deleted.or_no_such("terminal")?;
    Ok(HttpResponse::NoContent().finish())
}

/// The channels of a terminal, by number.
#[utoipa::path(tag = "terminal", security(("bearer" = ["view"])), params(("id" = TerminalId, Path, description = "The terminal's key")), responses(
    (status = 200, description = "All of them: no more than 255", body = Page<TerminalChannel>),
))]
#[get("/terminals/{id}/channels")]
pub(crate) async fn list_channels(
    caller: Caller<View>,
    state: Data<State>,
    id: Path<TerminalId>,
) -> Outcome<Json<Page<TerminalChannel>>> {
    let channels = state.db.channels(&caller.scope, *id).await.or_no_such("terminal")?;
    Ok(Json(Page { items: channels.into_iter().map(Into::into).collect(), next_cursor: None }))
}

/// Name a channel.
#[utoipa::path(tag = "terminal", security(("bearer" = ["manage_vehicles"])), params(
    ("id" = TerminalId, Path, description = "The terminal's key"),
    ("n" = Channel, Path, description = "The channel's number, from 1"),
), responses(
    (status = 200, description = "As it is now", body = TerminalChannel),
))]
#[patch("/terminals/{id}/channels/{n}")]
pub(crate) async fn rename_channel(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    path: Path<(TerminalId, Channel)>,
    change: Json<ChannelChange>,
) -> Outcome<Json<TerminalChannel>> {
    let (id, number) = path.into_inner();
    let renamed = state.db.rename_channel(&caller.scope, id, number, change.into_inner().name).await;
    Ok(Json(renamed.or_no_such("terminal or channel")?.into()))
}
