//! `login`, `logout`, and who is behind a session.

use access::{LoginError, Principal};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse};
use model::Permission;
use openapi::cmsv6::envelope::{Code, Empty, Failure};
use openapi::cmsv6::login::Login;

use super::parameters::Parameters;
use super::reply::{Reply, access_failure, db_failure, failure, json, success};
use crate::caller::address;
use crate::state::State;

/// The cookie that carries a session beside the parameter.
const COOKIE: &str = "JSESSIONID";

/// `login` and its alias `loginEx`. Never as JSONP: there is no session in the query yet.
pub(super) async fn log_in(request: &HttpRequest, state: &State, parameters: &Parameters) -> HttpResponse {
    match open(request, state, parameters).await {
        Ok((session, principal)) => {
            let cookie = Cookie::build(COOKIE, session.clone())
                .path("/")
                .http_only(true)
                .same_site(SameSite::Lax)
                .secure(request.app_config().secure())
                .finish();
            let mut response = json(success(Login {
                jsessionid: session.clone(),
                jsession: session,
                account_name: principal.account.name.clone(),
                pri: permission_ids(&principal),
            }));
            if let Err(error) = response.add_cookie(&cookie) {
                tracing::error!(%error, "session cookie not set: {error}");
            }
            response
        }
        Err(failure) => json(Err(failure)),
    }
}

async fn open(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Result<(String, Principal), Failure> {
    let missing = || failure(Code::Parameter, "account and password are needed");
    let account = parameters.text("account").ok_or_else(missing)?;
    let password = parameters.raw("password").ok_or_else(missing)?.to_owned();
    let decoded = parameters.text("password").unwrap_or_default();
    let address = address(request);
    // A password may itself look encoded, or have come encoded twice: which, only trying tells.
    let readings = [password.as_str(), decoded.as_str()];
    let readings = if decoded == password { &readings[..1] } else { &readings[..] };
    state.access.open_opaque_login(&account, readings, address).await.map_err(|error| match error {
        LoginError::Wrong => failure(Code::WrongPassword, "account or password wrong"),
        LoginError::Disabled => failure(Code::Disabled, "the account is disabled"),
        LoginError::Expired => failure(Code::Expired, "the account has expired"),
        LoginError::Throttled { retry_after } => failure(
            Code::WrongPassword,
            &format!("too many attempts: try again in {} s", retry_after.as_secs() + 1),
        ),
        LoginError::Busy => failure(Code::Internal, "too many log-ins at once"),
        LoginError::Db(error) => db_failure(error),
    })
}

/// `logout`.
pub(super) async fn log_out(request: &HttpRequest, state: &State, parameters: &Parameters) -> Reply {
    if let Some(session) = session(request, parameters) {
        state.access.close_opaque_login(&session).await.map_err(access_failure)?;
    }
    success(Empty {})
}

/// Who calls, if their session lasts and they may see vehicles.
pub(super) async fn viewer(
    request: &HttpRequest,
    state: &State,
    parameters: &Parameters,
) -> Result<Principal, Failure> {
    let session = session(request, parameters);
    let session = session.ok_or_else(|| failure(Code::NoSession, "session missing or expired"))?;
    let principal = state.access.principal_of_opaque_login(&session).await.map_err(access_failure)?;
    if !principal.may(Permission::View) {
        return Err(failure(Code::Forbidden, "no right to this operation"));
    }
    Ok(principal)
}

/// The session: a parameter, else the cookie.
fn session(request: &HttpRequest, parameters: &Parameters) -> Option<String> {
    parameters.text("jsession").or_else(|| request.cookie(COOKIE).map(|cookie| cookie.value().to_owned()))
}

/// Ours as numbers, from 1, in the order that [`Permission::ALL`] has: the original's ids are not published.
fn permission_ids(principal: &Principal) -> String {
    Permission::ALL.into_iter().zip(1..).filter(|(permission, _)| principal.may(*permission)).fold(
        String::from(","),
        |mut ids, (_, id): (Permission, u8)| {
            ids.push_str(&format!("{id},"));
            ids
        },
    )
}
