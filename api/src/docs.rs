//! The OpenAPI document and its pages (Swagger UI, vendored: it works offline).
//!
//! A log-in unless set public: a bearer token, or HTTP Basic with account and password, which is what a
//! browser can ask a person for.

use std::sync::Arc;

use access::LoginError;
use actix_web::http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use utoipa_swagger_ui::Config;

use crate::caller::{address, bearer};
use crate::problem::{Outcome, Problem};
use crate::state::State;

/// Swagger UI styles its elements one by one and draws its icons from data URLs.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// The document in JSON, made once.
pub(crate) struct Text(pub(crate) String);

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/openapi.json", web::get().to(document))
        .route("/docs", web::get().to(folder))
        .route("/docs/{file:.*}", web::get().to(page));
}

async fn folder() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/docs/")).finish()
}

async fn document(request: HttpRequest, state: Data<State>, text: Data<Text>) -> Outcome<HttpResponse> {
    check(&request, &state).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(text.0.clone()))
}

async fn page(
    request: HttpRequest,
    state: Data<State>,
    config: Data<Config<'static>>,
    file: Path<String>,
) -> Outcome<HttpResponse> {
    check(&request, &state).await?;
    let config = Arc::clone(&config.into_inner());
    let file = utoipa_swagger_ui::serve(&file, config).ok().flatten();
    let file = file.ok_or_else(|| Problem::not_found("page"))?;
    Ok(HttpResponse::Ok()
        .content_type(file.content_type)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(file.bytes.into_owned()))
}

async fn check(request: &HttpRequest, state: &State) -> Outcome<()> {
    if state.public_docs {
        return Ok(());
    }
    if let Some(token) = bearer(request) {
        state.access.principal_of_token(token).await?;
        return Ok(());
    }
    let (account, password) = basic(request).ok_or_else(Problem::unauthenticated_page)?;
    match state.access.person(&account, &password, address(request)).await {
        Ok(_) => Ok(()),
        Err(LoginError::Wrong | LoginError::Disabled | LoginError::Expired) => {
            Err(Problem::unauthenticated_page())
        }
        Err(error) => Err(error.into()),
    }
}

/// Account and password of `Authorization: Basic …` (RFC 7617).
fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let (scheme, value) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (account, password) = text.split_once(':')?;
    Some((account.to_owned(), password.to_owned()))
}
