//! Query strings of requests.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::fields;
use crate::problem::{Outcome, Problem};

/// What a request's query string says.
pub(crate) struct Query<T>(T);

impl<T> Query<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = Problem;
    type Future = Ready<Outcome<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(Self))
    }
}

/// What `query` says; where it does not fit, a 400 that names the parameter, if it is one parameter's fault.
fn read<T: DeserializeOwned>(query: &str) -> Outcome<T> {
    match web::Query::from_query(query) {
        Ok(web::Query(Parameters(parameters))) => parameters,
        Err(error) => Err(Problem::bad_request(format!("the query does not fit: {error}"))),
    }
}

/// What parameters say, or what is wrong with them: whoever takes a query apart does not tell which one it was.
struct Parameters<T>(Outcome<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Parameters<T> {
    fn deserialize<D: Deserializer<'de>>(query: D) -> Result<Self, D::Error> {
        Ok(Self(fields::object(query).map_err(|(parameter, error)| match parameter {
            Some(parameter) => Problem::field(&parameter, error.to_string()),
            None => Problem::bad_request(format!("the query does not fit: {error}")),
        })))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;
    use openapi::problem::{FieldError, Problem as Envelope};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        vehicle: i64,
        #[serde(default)]
        online: Option<bool>,
        #[serde(default)]
        q: Option<String>,
    }

    /// The parameters that a query's problem names.
    async fn named(query: &str) -> Vec<String> {
        let problem = read::<Wanted>(query).expect_err("refused").error_response();
        let problem = to_bytes(problem.into_body()).await.expect("a body");
        let Envelope { detail, errors, .. } = serde_json::from_slice(&problem).expect("an envelope");
        assert!(!detail.is_empty());
        errors.into_iter().map(|FieldError { field, .. }| field).collect()
    }

    #[actix_web::test]
    async fn what_does_not_fit_is_named_where_it_is_one_parameter() {
        let wanted = Wanted { vehicle: 7, online: Some(true), q: Some("测 7".to_owned()) };
        assert_eq!(read::<Wanted>("q=%E6%B5%8B+7&vehicle=7&online=true").expect("read"), wanted);
        for (parameter, query) in [
            ("vehicle", "vehicle=x"),
            ("vehicle", "vehicle="),
            ("vehicle", "online=true&vehicle=99999999999999999999"),
            ("vehicle", "vehicle=7&vehicle=8"),
            ("online", "vehicle=7&online=1"),
            ("colour", "vehicle=7&colour=red"),
            ("", "vehicle=7&=1"),
            ("vehicle ", "vehicle+=7"),
        ] {
            assert_eq!(named(query).await, [parameter], "{query}");
        }
        for query in ["", "&", "online=true"] {
            assert_eq!(named(query).await, [""; 0], "what is missing stands in the detail: {query}");
        }
    }
}
