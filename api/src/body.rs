//! JSON bodies of requests and replies.
//!
//! A body is an object. Serde would also read an array into a struct, field by field in the order in which the
//! source declares them: an order that no document tells and any change may upset.

use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::web::{self, Bytes};
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest, HttpResponse, Responder};
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fields;
use crate::problem::{Outcome, Problem, body_error};

/// What a request's body says, or what a reply's is to say.
pub(crate) struct Json<T>(pub(crate) T);

impl<T> Json<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        // No longer than the application's `PayloadConfig` says.
        let bytes = Bytes::from_request(request, payload);
        async move {
            if !is_json {
                return Err(Problem::not_json().into());
            }
            let bytes = bytes.await.map_err(body_error)?;
            Ok(Self(read(&bytes)?))
        }
        .boxed_local()
    }
}

impl<T: Serialize> Responder for Json<T> {
    type Body = <web::Json<T> as Responder>::Body;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<Self::Body> {
        web::Json(self.0).respond_to(request)
    }
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839).
fn is_json(request: &HttpRequest) -> bool {
    let Ok(Some(kind)) = request.mime_type() else { return false };
    kind.subtype() == "json" || kind.suffix().is_some_and(|suffix| suffix == "json")
}

/// The object that `bytes` are; where they are none, a 400 that names the field, if it is one field's fault.
fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Outcome<T> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let body = fields::object(&mut json);
    let body = body.and_then(|body| json.end().map(|()| body).map_err(|error| (None, error)));
    body.map_err(|(field, error)| match field {
        Some(field) => Problem::field(&field, error.to_string()),
        None => Problem::bad_request(format!("the body does not fit: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;
    use openapi::problem::{FieldError, Problem as Envelope};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Wanted {
        plate: String,
        #[serde(default)]
        company_id: Option<i64>,
    }

    /// The fields that a body's problem names.
    async fn named(body: &str) -> Vec<String> {
        let problem = read::<Wanted>(body.as_bytes()).expect_err("refused").error_response();
        let problem = to_bytes(problem.into_body()).await.expect("a body");
        let Envelope { detail, errors, .. } = serde_json::from_slice(&problem).expect("an envelope");
        assert!(!detail.is_empty());
        errors.into_iter().map(|FieldError { field, .. }| field).collect()
    }

    #[actix_web::test]
    async fn what_does_not_fit_is_named_where_it_is_one_field() {
        assert!(read::<Wanted>(br#"{"plate": "A 1", "company_id": 7}"#).is_ok());
        for (field, body) in [
            ("plate", r#"{"plate": 7}"#),
            ("plate", r#"{"company_id": 7, "plate": null}"#),
            ("plate", r#"{"plate": "A 1", "plate": "A 2"}"#),
            ("company_id", r#"{"plate": "A 1", "company_id": [1]}"#),
            ("company_id", r#"{"company_id": 7.5, "plate": "A 1"}"#),
            ("company_id", r#"{"company_id": 1e999}"#),
            ("colour", r#"{"plate": "A 1", "colour": "red"}"#),
            ("\u{0}", r#"{"\u0000": {}}"#),
        ] {
            assert_eq!(named(body).await, [field], "{body}");
        }
        for body in
            ["", "{", "{}", "null", "[]", r#"["A 1"]"#, r#"{"plate": "A 1"}{}"#, r#"{"plate": "A 1",}"#]
        {
            assert_eq!(named(body).await, [""; 0], "{body}");
        }
    }
}
