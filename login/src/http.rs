//! The clients' side of the port: one request a connection, with bounds on its head and its time. Knows no routes but
//! those that other files name.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cluster::Newcomer;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::cmsv6;
use crate::desk::Desk;

/// Longest request head, bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header fields.
const FIELDS_MAX: usize = 64;

pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers one request. The connection counts as a newcomer's all the time: it is short.
pub(crate) async fn serve(
    desk: Arc<Desk>,
    socket: TcpStream,
    seen: BytesMut,
    local: SocketAddr,
    newcomer: Newcomer,
    stop: CancellationToken,
) {
    let within = Duration::from_secs(desk.settings.request_within_s);
    let (reader, writer) = socket.into_split();
    let socket = tokio::io::join(Cursor::new(seen).chain(reader), writer);
    let service = service_fn(|request: Request<Incoming>| {
        let desk = Arc::clone(&desk);
        async move {
            desk.counters.requests.one();
            Ok::<_, Infallible>(answer(&desk, &request, local).await)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(within)
        .keep_alive(false)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    let served = stop.run_until_cancelled(tokio::time::timeout(within, connection)).await;
    if let Some(Ok(Err(error))) = served {
        tracing::debug!(%error, "a client's request failed");
    }
    drop(newcomer);
}

async fn answer(desk: &Desk, request: &Request<Incoming>, local: SocketAddr) -> Answer {
    let uri = request.uri();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(host_of).map_or_else(|| local.ip().to_string(), str::to_owned);
    let query = uri.query().unwrap_or_default();
    match cmsv6::answer(desk, uri.path(), query, &host).await {
        Some(answer) => answer,
        None => problem(StatusCode::NOT_FOUND, "no such resource"),
    }
}

/// The host that the client dialled, as it says so itself, without the port; None where it is no name or address.
fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, _) = rest.split_once(']')?;
        return address.parse::<IpAddr>().is_ok().then_some(address);
    }
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(is_of_a_name)).then_some(host)
}

/// An answer with a body. Players run on other sites' pages, hence the open CORS header: what is not public needs a
/// session in the query.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A problem document (RFC 9457).
fn problem(status: StatusCode, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    bytes(status, "application/problem+json", body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_a_name_or_an_address() {
        for (authority, host) in [
            ("v.example:6605", Some("v.example")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8::7]:6605", Some("2001:db8::7")),
            ("", None),
            (":6605", None),
            ("a\"b", None),
            ("a/b", None),
            ("[x]:1", None),
            ("[::1", None),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
