//! Errors as they leave: one envelope (RFC 9457) for everything, from handlers, extractors and the router.
//!
//! A 500 means a bug and hides its cause, which is logged here, once. Knows every edge below the API and what
//! status each of its errors becomes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use access::{AccessError, LoginError};
use actix_web::error::{PathError, PayloadError};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use cluster::{DrainError, MediaError};
use db::DbError;
use model::SendError;
use openapi::problem::FieldError;
use tracing::error;

use crate::latest::NotRead;
use crate::request_log::request_id;

/// What a handler answers instead of its result.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    /// Boxed: most results are no problem, and should not be as large as one.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// A handler's result.
pub(crate) type Outcome<T> = Result<T, Problem>;

/// When to come back where the database is away or busy, seconds.
const RETRY_S: u64 = 2;

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), header: None }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    pub(crate) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_json() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    }

    /// A 400 that names the field.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::bad_request(format!("{field}: {detail}"));
        problem.errors.push(FieldError { field: field.to_owned(), detail });
        problem
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "log in first: no valid access token")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// A 401 for browsers that ask the person for account and password.
    pub(crate) fn unauthenticated_page() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "log in first")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"motorcade\", charset=\"UTF-8\""))
    }

    pub(crate) fn wrong_password() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "account or password wrong")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    pub(crate) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(crate) fn not_found(noun: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("no such {noun}"))
    }

    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this takes {allowed} only"));
        match HeaderValue::from_str(allowed) {
            Ok(value) => problem.with(ALLOW, value),
            Err(_) => problem,
        }
    }

    pub(crate) fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(crate) fn too_many(retry_after: Duration) -> Self {
        // Rounded up: whoever waits exactly that long must not be turned away again.
        let seconds = retry_after.as_secs() + 1;
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("too many attempts: try again in {seconds} s"))
            .with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(RETRY_AFTER, HeaderValue::from(RETRY_S))
    }

    /// Somebody else, who had to be asked, did not answer in time.
    fn no_answer(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// A bug: logged with its chain of causes, told without it.
    #[track_caller]
    pub(crate) fn internal(cause: &dyn std::error::Error) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        let at = std::panic::Location::caller();
        error!(error = %chain, at = %at, request.id = request_id(), "request failed: {chain}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong here; the server's log says what")
    }

    /// The noun's own 404 instead of the general one.
    pub(crate) fn noun(self, noun: &str) -> Self {
        if self.status == StatusCode::NOT_FOUND { Self::not_found(noun) } else { self }
    }
}

/// Names what was not found where a query says [`DbError::NotFound`].
pub(crate) trait OrNotFound<T> {
    /// The result, with a 404 that says `no such {noun}`.
    fn or_no_such(self, noun: &str) -> Outcome<T>;
}

impl<T, E: Into<Problem>> OrNotFound<T> for Result<T, E> {
    #[track_caller]
    fn or_no_such(self, noun: &str) -> Outcome<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(error.into().noun(noun)),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(header) = &self.header {
            response.insert_header((header.0.clone(), header.1.clone()));
        }
        let body = openapi::problem::Problem {
            kind: "about:blank".into(),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            instance: request_id().map(|id| format!("urn:uuid:{id}")),
            errors: self.errors.clone(),
        };
        response
            .insert_header((CONTENT_TYPE, "application/problem+json"))
            .body(serde_json::to_string(&body).unwrap_or_default())
    }
}

impl From<DbError> for Problem {
    #[track_caller]
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => Self::unavailable("the database is away"),
            DbError::Busy(_) => Self::unavailable("the database is busy"),
            DbError::OutcomeUnknown => {
                Self::unavailable("the database went away while this was stored: look whether it was")
            }
            DbError::NotFound => Self::not_found("thing"),
            DbError::Conflict(detail) => Self::conflict(detail),
            DbError::Invalid(detail) => Self::bad_request(detail),
            DbError::Unsafe(_) | DbError::Migration(_) | DbError::Query(_) => Self::internal(&error),
        }
    }
}

impl From<NotRead> for Problem {
    fn from(error: NotRead) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<AccessError> for Problem {
    #[track_caller]
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Unauthenticated => Self::unauthenticated(),
            AccessError::Busy => Self::unavailable("too many log-ins at once"),
            AccessError::Db(error) => error.into(),
        }
    }
}

impl From<LoginError> for Problem {
    #[track_caller]
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong | LoginError::Disabled | LoginError::Expired => Self::wrong_password(),
            LoginError::Throttled { retry_after } => Self::too_many(retry_after),
            LoginError::Busy => Self::unavailable("too many log-ins at once"),
            LoginError::Db(error) => error.into(),
        }
    }
}

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::NotRunning(_) => Self::conflict("the stream is not running: open it first"),
            MediaError::NoPicture(_) => Self::conflict("the stream has given no picture yet"),
            MediaError::Busy => Self::unavailable("too many snapshots at once"),
        }
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotConnected(_) => Self::conflict("the terminal is not connected"),
            SendError::Refused { result: 3, .. } => Self::conflict("the terminal does not support this"),
            SendError::Refused { result, .. } => {
                Self::conflict(format!("the terminal refused with result {result}"))
            }
            SendError::Unsayable { reason, .. } => {
                Self::conflict(format!("the terminal cannot be told this: {reason}"))
            }
            SendError::Unreadable(_) => Self::conflict("what the terminal answered cannot be read"),
            SendError::Timeout(_) => {
                Self::no_answer("the terminal did not answer in time: it may have done it all the same")
            }
            SendError::Disconnected(_) => Self::no_answer(
                "the terminal's link broke before it answered: it may have done it all the same",
            ),
            SendError::Busy(_) => Self::unavailable("too many commands wait for the terminal"),
        }
    }
}

impl From<DrainError> for Problem {
    fn from(error: DrainError) -> Self {
        match error {
            DrainError::NotFound(_) => Self::not_found("node"),
            DrainError::Unavailable => Self::unavailable("etcd is away"),
            DrainError::Alone => Self::conflict("this node is alone: there is no other to drain it to"),
        }
    }
}

/// A body that could not be read: too long, or broken off.
pub(crate) fn body_error(error: actix_web::Error) -> Problem {
    match error.as_error() {
        Some(PayloadError::Overflow) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"),
        _ => Problem::bad_request("the body could not be read"),
    }
}

/// A path parameter that can name nothing: not found, as any other name of nothing.
pub(crate) fn path_error(_: PathError, _: &HttpRequest) -> actix_web::Error {
    Problem::not_found("thing").into()
}
