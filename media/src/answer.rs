//! What the viewer port answers: problem documents (RFC 9457), bytes, endless bodies.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use model::SendError;
use serde_json::json;

use crate::Refusal;
use crate::stream::EndReason;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

/// An answer with a body of known length. Players run on other sites' pages, hence the open CORS header;
/// what is not public needs a ticket.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    with(status, content_type, Full::new(body.into()).boxed_unsync())
}

/// An answer whose body ends when the view does.
pub(crate) fn endless(
    content_type: &'static str,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> Answer {
    let frames = chunks.map(|chunk| Ok(Frame::data(chunk)));
    with(StatusCode::OK, content_type, StreamBody::new(frames).boxed_unsync())
}

fn with(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

/// A problem document.
pub(crate) fn problem(status: StatusCode, detail: impl std::fmt::Display) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail.to_string(),
    });
    bytes(status, "application/problem+json", body.to_string())
}

/// The status that says why somebody may not watch. A right that is missing on a terminal looks like no
/// terminal.
pub(crate) fn refusal_status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Invalid | Refusal::Expired => StatusCode::UNAUTHORIZED,
        Refusal::OtherStream | Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Says why a stream did not begin; the reason stays with the answer for who says it in other words.
pub(crate) fn not_begun(reason: EndReason) -> Answer {
    let mut answer = problem(end_status(&reason), &reason);
    answer.extensions_mut().insert(reason);
    answer
}

fn end_status(reason: &EndReason) -> StatusCode {
    match reason {
        EndReason::Taken(_) => StatusCode::CONFLICT,
        EndReason::Unreachable(
            SendError::Refused { .. } | SendError::Unsayable { .. } | SendError::Unreadable(_),
        ) => StatusCode::BAD_GATEWAY,
        EndReason::Unreachable(SendError::Timeout(_)) | EndReason::NoPicture | EndReason::Lost => {
            StatusCode::GATEWAY_TIMEOUT
        }
        EndReason::Unreachable(_) | EndReason::Unwatched | EndReason::Shutdown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
