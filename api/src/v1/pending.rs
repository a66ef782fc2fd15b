//! Terminals that wait for approval.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use db::DbError;
use model::Sim;
use openapi::page::{Page, PageQuery};
use openapi::pending::{Approval, PendingTerminal};
use openapi::terminal::Terminal;

use crate::body::Json;
use crate::caller::{Caller, ManageVehicles};
use crate::problem::{OrNotFound as _, Outcome};
use crate::query::Query;
use crate::state::State;
use crate::v1::page;

/// The terminals that asked for admission, the latest to ask first. Only those who see the root company see
/// them: they belong to nobody yet.
#[utoipa::path(tag = "pending terminal", security(("bearer" = ["manage_vehicles"])), params(PageQuery), responses((status = 200, description = "A page of them", body = Page<PendingTerminal>)))]
#[get("/pending-terminals")]
pub(crate) async fn list_pending_terminals(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    query: Query<PageQuery>,
) -> Outcome<Json<Page<PendingTerminal>>> {
    let PageQuery { cursor, limit } = query.into_inner();
    Ok(Json(state.db.pending_terminals(&caller.scope, &page(cursor, limit)?).await?.into()))
}

/// Approve a terminal: it is known from now on and admitted when it next asks.
#[utoipa::path(tag = "pending terminal", security(("bearer" = ["manage_vehicles"])), params(("sim" = Sim, Path, description = "Its phone number")), responses(
    (status = 200, description = "The terminal that it now is", body = Terminal),
    (status = 409, description = "The plate, or the SIM as a device number, is taken"),
))]
#[post("/pending-terminals/{sim}/approve")]
pub(crate) async fn approve_terminal(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    sim: Path<Sim>,
    approval: Json<Approval>,
) -> Outcome<Json<Terminal>> {
    let approved = state.db.approve_terminal(&caller.scope, &sim, approval.into_inner().into()).await;
    match &approved {
        Ok(terminal) => state.latest.terminals_changed([terminal.id]).await,
        // Nobody knows its key: where it was made, reading the whole finds it.
        Err(DbError::OutcomeUnknown) => state.latest.missed(),
        Err(_) => {}
    }
    let approved = approved.or_no_such("pending terminal, company or vehicle")?;
    Ok(Json(approved.into()))
}

/// Take a terminal off the list; it comes back when it asks again.
#[utoipa::path(tag = "pending terminal", security(("bearer" = ["manage_vehicles"])), params(("sim" = Sim, Path, description = "Its phone number")), responses(
    (status = 204, description = "Gone from the list"),
))]
#[delete("/pending-terminals/{sim}")]
pub(crate) async fn reject_terminal(
    caller: Caller<ManageVehicles>,
    state: Data<State>,
    sim: Path<Sim>,
) -> Outcome<HttpResponse> {
    state.db.reject_terminal(&caller.scope, &sim).await.or_no_such("pending terminal")?;
    Ok(HttpResponse::NoContent().finish())
}
