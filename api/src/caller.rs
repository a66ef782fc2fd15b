//! Who calls: the guard around v1, and the extractor by which a handler names the right that it needs.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};

use access::Principal;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, web};
use model::Permission;

use crate::problem::Problem;
use crate::state::State;

/// Stands around every route that is not public: without a valid access token nothing inside is reached.
pub(crate) async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match principal(request.request()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => Ok(request.error_response(problem).map_into_boxed_body()),
    }
}

async fn principal(request: &HttpRequest) -> Result<Principal, Problem> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let (Some(state), Some(token)) = (state, bearer(request)) else {
        return Err(Problem::unauthenticated());
    };
    Ok(state.access.principal_of_token(token).await?)
}

/// The token of the header `Authorization: Bearer …`.
pub(crate) fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The address that asks. A forwarding header is not believed: anybody can write one.
pub(crate) fn address(request: &HttpRequest) -> IpAddr {
    request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

/// A right as a type, so that a handler's signature says what it needs.
pub(crate) trait Right {
    /// Which; None: any log-in, even one that must change its password first.
    const PERMISSION: Option<Permission>;
}

macro_rules! right {
    ($($name:ident: $permission:expr;)*) => {$(
        pub(crate) struct $name;
        impl Right for $name {
            const PERMISSION: Option<Permission> = $permission;
        }
    )*};
}

right! {
    LoggedIn: None;
    View: Some(Permission::View);
    Live: Some(Permission::Live);
    HandleAlarms: Some(Permission::HandleAlarms);
    ManageVehicles: Some(Permission::ManageVehicles);
    ManageAccounts: Some(Permission::ManageAccounts);
    ConfigureTerminals: Some(Permission::ConfigureTerminals);
}

/// The caller, who has the right `R`; 403 for others.
pub(crate) struct Caller<R> {
    principal: Principal,
    right: PhantomData<R>,
}

impl<R> std::ops::Deref for Caller<R> {
    type Target = Principal;
    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<R: Right> FromRequest for Caller<R> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(allowed::<R>(request).map_err(Into::into))
    }
}

fn allowed<R: Right>(request: &HttpRequest) -> Result<Caller<R>, Problem> {
    let principal = request.extensions().get::<Principal>().cloned().ok_or_else(Problem::unauthenticated)?;
    match R::PERMISSION {
        Some(_) if principal.account.must_change_password => {
            Err(Problem::forbidden("change your password first (POST /api/v1/me/password)"))
        }
        Some(permission) if !principal.may(permission) => {
            Err(Problem::forbidden(format!("this needs the right {}", permission.name())))
        }
        _ => Ok(Caller { principal, right: PhantomData }),
    }
}
