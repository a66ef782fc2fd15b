//! The servers that a terminal dials by itself, main and backup: parameters that the terminal keeps, so that it is asked
//! and told over its link.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, patch, rt};
use model::{Command, Reply, Scope, SendError, TerminalId, TerminalServers};
use openapi::server::ServersChange;

use crate::body::Json;
use crate::caller::{Caller, ConfigureTerminals};
use crate::problem::{Outcome, Problem};
use crate::state::State;

/// Which servers a terminal dials by itself. The terminal is asked; this takes some seconds.
#[utoipa::path(tag = "terminal", security(("bearer" = ["configure_terminals"])), params(("id" = TerminalId, Path, description = "The terminal's key")), responses(
    (status = 200, description = "What the terminal tells", body = TerminalServers),
    (status = 409, description = "It is not connected, or does not support this"),
    (status = 504, description = "It did not answer"),
))]
#[get("/terminals/{id}/servers")]
pub(crate) async fn read_servers(
    caller: Caller<ConfigureTerminals>,
    state: Data<State>,
    id: Path<TerminalId>,
) -> Outcome<Json<TerminalServers>> {
    of_scope(&state, &caller.scope, *id).await?;
    match state.terminals.send(*id, Command::ReadServers).await? {
        Reply::Servers(servers) => Ok(Json(servers)),
        Reply::Accepted => Err(SendError::Unreadable(*id).into()),
    }
}

/// Have a terminal dial other servers from its next connection on; the link that it has stays.
#[utoipa::path(tag = "terminal", security(("bearer" = ["configure_terminals"])), params(("id" = TerminalId, Path, description = "The terminal's key")), responses(
    (status = 204, description = "The terminal has taken them"),
    (status = 409, description = "It is not connected, refused, does not support this, or cannot be told this"),
    (status = 504, description = "It did not answer: it may have taken them or not. Ask which ones it has"),
))]
#[patch("/terminals/{id}/servers")]
pub(crate) async fn set_servers(
    caller: Caller<ConfigureTerminals>,
    state: Data<State>,
    id: Path<TerminalId>,
    change: Json<ServersChange>,
) -> Outcome<HttpResponse> {
    let (id, ServersChange { main, backup }) = (*id, change.into_inner());
    let change = model::ServersChange::new(main, backup).map_err(|(field, error)| match field {
        Some(field) => Problem::field(field, error.to_string()),
        None => Problem::bad_request(error.to_string()),
    })?;
    of_scope(&state, &caller.scope, id).await?;
    let scope = caller.scope.clone();
    // In a task of its own, so that a caller who hangs up in between leaves no change without its record.
    let setting = rt::spawn(async move {
        let answer = state.terminals.send(id, Command::SetServers(change.clone())).await;
        if let Some(outcome) = outcome(&answer) {
            state.db.record_servers(&scope, id, &change, &outcome).await?;
        }
        answer.map_err(Problem::from)
    });
    setting.await.map_err(|error| Problem::internal(&error))??;
    Ok(HttpResponse::NoContent().finish())
}

/// What is recorded of a change; nothing where the terminal heard nothing of it.
fn outcome(answer: &Result<Reply, SendError>) -> Option<String> {
    Some(match answer {
        Ok(_) => "accepted".to_owned(),
        Err(SendError::Refused { result, .. }) => format!("refused with result {result}"),
        Err(SendError::Timeout(_) | SendError::Disconnected(_) | SendError::Unreadable(_)) => {
            "unknown".to_owned()
        }
        Err(SendError::NotConnected(_) | SendError::Unsayable { .. } | SendError::Busy(_)) => return None,
    })
}

/// A 404 where the caller may not see the terminal.
async fn of_scope(state: &State, scope: &Scope, id: TerminalId) -> Outcome<()> {
    let place = state.latest.place(id).await?.filter(|place| scope.sees(place.company_id));
    place.map(|_| ()).ok_or_else(|| Problem::not_found("terminal"))
}
