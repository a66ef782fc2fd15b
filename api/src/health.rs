//! Whether the server lives, and whether it can serve: for whatever watches it.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};

use crate::problem::{Outcome, Problem};
use crate::state::State;

/// Whether the process answers.
#[utoipa::path(tag = "health", responses((status = 200, description = "It does", content_type = "text/plain", body = String)))]
#[get("/healthz")]
pub(crate) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok\n")
}

/// Whether requests can be served: the database answers.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "They can", content_type = "text/plain", body = String),
    (status = 503, description = "The database does not answer", content_type = "application/problem+json", body = openapi::problem::Problem),
))]
#[get("/readyz")]
pub(crate) async fn readyz(state: Data<State>) -> Outcome<HttpResponse> {
    if !state.db.healthy().await {
        return Err(Problem::unavailable("the database does not answer"));
    }
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n"))
}
