//! One's own account.

use access::PASSWORD_BYTES_MAX;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use db::DbError;
use openapi::login::{Me, PasswordChange};

use crate::body::Json;
use crate::caller::{Caller, LoggedIn, address};
use crate::problem::{Outcome, Problem};
use crate::state::State;

/// The shortest password, bytes.
const PASSWORD_BYTES_MIN: usize = 8;

/// A new password, if it may be one.
pub(super) fn check_password(field: &str, password: &str) -> Outcome<()> {
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len()) {
        return Ok(());
    }
    Err(Problem::field(field, format!("{PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes")))
}

/// Who one is and what one may do.
#[utoipa::path(tag = "me", security(("bearer" = [])), responses((status = 200, description = "The caller", body = Me)))]
#[get("/me")]
pub(crate) async fn me(caller: Caller<LoggedIn>) -> Json<Me> {
    Json(Me {
        account: caller.account.clone().into(),
        permissions: caller.permissions.iter().copied().collect(),
    })
}

/// Change one's password. Every login of the account ends.
#[utoipa::path(tag = "me", security(("bearer" = [])), responses(
    (status = 204, description = "Changed"),
    (status = 403, description = "The old password is wrong"),
    (status = 429, description = "Too many attempts: see Retry-After"),
))]
#[post("/me/password")]
pub(crate) async fn change_password(
    caller: Caller<LoggedIn>,
    request: HttpRequest,
    state: Data<State>,
    change: Json<PasswordChange>,
) -> Outcome<HttpResponse> {
    let PasswordChange { old, new } = change.into_inner();
    check_password("new", &new)?;
    match state.access.change_password(&caller, &old, &new, address(&request)).await {
        // Not 401: the caller is logged in, and a client must not try to refresh over this.
        Err(access::LoginError::Wrong) => Err(Problem::forbidden("the old password is wrong")),
        Err(access::LoginError::Db(error)) => Err(or_nobody(error)),
        done => Ok(done.map(|()| HttpResponse::NoContent().finish())?),
    }
}

/// Whose account was deleted while they asked is nobody any more.
fn or_nobody(error: DbError) -> Problem {
    match error {
        DbError::NotFound => Problem::unauthenticated(),
        error => error.into(),
    }
}

/// Delete one's own account.
#[utoipa::path(tag = "me", security(("bearer" = [])), responses(
    (status = 204, description = "Deleted"),
    (status = 409, description = "The platform would have no account left that manages accounts"),
))]
#[delete("/me")]
pub(crate) async fn delete_me(caller: Caller<LoggedIn>, state: Data<State>) -> Outcome<HttpResponse> {
    let deleted = state.db.delete_account(&caller.scope, caller.account.id).await;
    deleted.map_err(or_nobody)?;
    state.changed();
    Ok(HttpResponse::NoContent().finish())
}
