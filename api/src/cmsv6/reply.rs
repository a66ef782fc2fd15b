//! Replies of the CMSV6 face: JSON or JSONP, HTTP 200 whatever the `result`.

use access::AccessError;
use actix_web::HttpResponse;
use db::DbError;
use openapi::cmsv6::envelope::{Code, Failure, Success};
use serde::Serialize;
use tracing::error;

use super::parameters::{Callback, Parameters};
use crate::latest::NotRead;
use crate::problem::Problem;

/// What an action answers: its reply as JSON, or why not.
pub(super) type Reply = Result<String, Failure>;

/// A failure with words for people.
pub(super) fn failure(code: Code, message: &str) -> Failure {
    Failure { result: code.number(), message: message.to_owned() }
}

/// A success with these keys.
pub(super) fn success<T: Serialize>(body: T) -> Reply {
    serde_json::to_string(&Success::new(body)).map_err(|cause| {
        error!(error = %cause, "reply not written: {cause}");
        failure(Code::Internal, "internal error")
    })
}

/// As HTTP.
pub(super) fn send(parameters: &Parameters, reply: Reply) -> HttpResponse {
    let reply = match parameters.callback() {
        Callback::None => return json(reply),
        Callback::Wrong => {
            return json(Err(failure(Code::Parameter, "callback: letters, digits and _ only")));
        }
        Callback::Name(name) => (name, text(reply)),
    };
    let (name, text) = reply;
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(format!("{name}({text})"))
}

/// As JSON.
pub(super) fn json(reply: Reply) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json;charset=utf-8").body(text(reply))
}

fn text(reply: Reply) -> String {
    match reply {
        Ok(text) => text,
        Err(failure) => serde_json::to_string(&failure).unwrap_or_default(),
    }
}

/// What an error of the database becomes where nothing more is known of it. There is no code for "busy" or
/// "away": clients log in again on any failure and then repeat, which is what is wanted.
pub(super) fn db_failure(error: DbError) -> Failure {
    match error {
        DbError::NotFound => failure(Code::NoDevice, "no such device"),
        DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown => {
            failure(Code::Internal, "the database is away or busy")
        }
        DbError::Invalid(_) => failure(Code::Parameter, "bad parameter"),
        DbError::Conflict(_) => failure(Code::Internal, "conflict"),
        error @ (DbError::Unsafe(_) | DbError::Migration(_) | DbError::Query(_)) => {
            // Logged as every bug is.
            let _ = Problem::internal(&error);
            failure(Code::Internal, "internal error")
        }
    }
}

/// What becomes of a call while the latest positions cannot be told.
pub(super) fn not_read(error: NotRead) -> Failure {
    failure(Code::Internal, &error.to_string())
}

/// What an unanswered question of rights becomes.
pub(super) fn access_failure(error: AccessError) -> Failure {
    match error {
        AccessError::Unauthenticated => failure(Code::NoSession, "session missing or expired"),
        AccessError::Busy => failure(Code::Internal, "too many log-ins at once"),
        AccessError::Db(error) => db_failure(error),
    }
}
