//! Logging in and out.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, post};
use openapi::login::{Login, RefreshToken, Tokens};

use crate::body::Json;
use crate::caller::address;
use crate::problem::Outcome;
use crate::state::State;
use crate::v1::bounded;

/// The longest refresh token that is looked at, characters; ours are shorter.
const TOKEN_CHARS_MAX: usize = 256;

fn wire(tokens: access::Tokens) -> Tokens {
    let access::Tokens { access, refresh, must_change_password } = tokens;
    Tokens {
        access_token: access,
        expires_in_s: access::Tokens::LIFETIME_S,
        refresh_token: refresh,
        must_change_password,
    }
}

/// Log in with account and password.
#[utoipa::path(tag = "login", security(()), responses(
    (status = 200, description = "Logged in", body = Tokens),
    (status = 401, description = "Account or password wrong"),
    (status = 429, description = "Too many attempts: see Retry-After"),
))]
#[post("/auth/login")]
pub(crate) async fn log_in(
    request: HttpRequest,
    state: Data<State>,
    login: Json<Login>,
) -> Outcome<Json<Tokens>> {
    let Login { account, password } = login.into_inner();
    Ok(Json(wire(state.access.login(&account, &password, address(&request)).await?)))
}

/// Exchange a refresh token for new tokens. It works once; a second time ends the login.
#[utoipa::path(tag = "login", security(()), responses(
    (status = 200, description = "New tokens", body = Tokens),
    (status = 401, description = "Unknown, used or over"),
))]
#[post("/auth/refresh")]
pub(crate) async fn refresh_login(state: Data<State>, token: Json<RefreshToken>) -> Outcome<Json<Tokens>> {
    bounded("refresh_token", &token.refresh_token, TOKEN_CHARS_MAX)?;
    Ok(Json(wire(state.access.refresh(&token.refresh_token).await?)))
}

/// End a login: its refresh token and the access tokens made from it.
#[utoipa::path(tag = "login", security(("bearer" = [])), responses((status = 204, description = "Logged out")))]
#[post("/auth/logout")]
pub(crate) async fn log_out(state: Data<State>, token: Json<RefreshToken>) -> Outcome<HttpResponse> {
    bounded("refresh_token", &token.refresh_token, TOKEN_CHARS_MAX)?;
    state.access.logout(&token.refresh_token).await?;
    Ok(HttpResponse::NoContent().finish())
}
