//! One log line a request (target `motorcade::request`), its id, and the headers that every reply carries.
//!
//! The route is logged as the route list writes it, so that lines can be counted by operation. What came in its
//! place, queries, bodies and headers are never logged: they hold passwords, tickets and sessions.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::Next;
use cluster::RequestId;
use tracing::info;
use uuid::Uuid;

/// The header that names the request in replies.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that is being answered, if one is.
pub(crate) fn request_id() -> Option<String> {
    RequestId::current().map(|id| id.to_string())
}

/// Wraps everything: gives the request an id, and logs it when its reply is ready.
pub(crate) async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id: RequestId = Uuid::new_v4().to_string().parse().expect("a UUID is one");
    let since = Instant::now();
    let method = request.method().clone();
    let peer = request.peer_addr().map(|peer| peer.ip().to_string()).unwrap_or_default();
    let mut response = id.clone().scope(next.call(request)).await?.map_into_boxed_body();
    let status = response.status().as_u16();
    let route = response.request().match_pattern().unwrap_or_else(|| "-".to_owned());
    let ms = since.elapsed().as_millis() as u64;
    info!(
        target: "motorcade::request",
        { http.method = %method, http.route = %route, http.status = status, duration_ms = ms,
          request.id = %id, peer = %peer },
        "{method} {route} {status} in {ms} ms"
    );
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    let defaults = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in defaults {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}
