//! The OpenAPI document, made from the route list.
//!
//! What every operation can answer by the way it is reached (no log-in, wrong body, database away) is added
//! here by rule; what is its own stands beside its handler.

use std::collections::BTreeMap;

use actix_web::App;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Info, License, OpenApi, OpenApiBuilder, Ref, RefOr, Response};
use utoipa_actix_web::AppExt as _;

use openapi::event::{Lagged, VehicleEvent};
use openapi::problem::Problem;

use crate::route::{routes, schemas};

const DESCRIPTION: &str = "Vehicles, terminals, positions, alarms and live video of a fleet.\n\n\
    Log in at `/api/v1/auth/login` and send `Authorization: Bearer ACCESS_TOKEN`. Lists come in pages: pass \
    `next_cursor` on as `cursor` until it is null. Unknown fields are refused. What the caller may not see is \
    answered as what does not exist: 404. Errors are RFC 9457 problems.";

/// The OpenAPI 3.1 document of v1.
///
/// # Panics
/// When two types that differ go by one schema name: one of them would be described as the other.
pub fn document() -> OpenApi {
    let info = Info::builder()
        .title("motorcade")
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(License::new("GPL-3.0-or-later")))
        .build();
    let empty = OpenApiBuilder::new().info(info).build();
    let (_, mut document) = App::new().into_utoipa_app().openapi(empty).configure(routes).split_for_parts();
    let components = document.components.get_or_insert_default();
    let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let mut named = schemas();
    named.extend(of::<Problem>());
    // Named by the event stream, whose body is text to OpenAPI.
    named.extend(of::<VehicleEvent>());
    named.extend(of::<Lagged>());
    components.schemas = by_name(named);
    for (path, item) in &mut document.paths.paths {
        if path.starts_with("/api/v1/") {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                complete(operation);
            }
        }
    }
    document
}

/// The schema of `T`, and those that it names.
fn of<T: ToSchema>() -> Vec<(String, RefOr<Schema>)> {
    let mut named = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut named);
    named
}

fn by_name(named: Vec<(String, RefOr<Schema>)>) -> BTreeMap<String, RefOr<Schema>> {
    let mut schemas = BTreeMap::new();
    for (name, schema) in named {
        let before = schemas.get(&name);
        assert!(before.is_none_or(|before| *before == schema), "two types have the schema name {name}");
        schemas.insert(name, schema);
    }
    schemas
}

fn complete(operation: &mut Operation) {
    add(operation, "503", "Busy, or the database is away: see Retry-After");
    // Public operations name an empty requirement.
    let guarded = operation.security.iter().flatten().any(|requirement| {
        serde_json::to_value(requirement).is_ok_and(|value| value.get("bearer").is_some())
    });
    if guarded {
        add(operation, "401", "No valid access token");
        add(operation, "403", "The right is missing, or the password must be changed first");
    }
    if operation.request_body.is_some() {
        add(operation, "400", "A parameter or the body does not fit");
        add(operation, "413", "The body is too long");
        add(operation, "415", "The body is not JSON");
    }
    let parameters: Vec<ParameterIn> = operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter.parameter_in.clone()),
            RefOr::Ref(_) => None,
        })
        .collect();
    if parameters.contains(&ParameterIn::Query) {
        add(operation, "400", "A parameter does not fit");
    }
    if parameters.contains(&ParameterIn::Path) {
        add(operation, "404", "Not there, or not for the caller to see");
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
        {
            response.content.entry("application/problem+json".into()).or_insert_with(problem);
        }
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.into()).or_insert_with(|| Response::new(description).into());
}

fn problem() -> RefOr<Content> {
    Content::new(Some(Ref::from_schema_name(Problem::name()))).into()
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::schema::{ObjectBuilder, Type};

    use super::*;

    #[test]
    fn every_operation_of_v1_says_what_it_takes_and_answers() {
        let document = serde_json::to_value(document()).expect("serialises");
        let paths = document["paths"].as_object().expect("paths");
        assert!(paths.len() > 25, "{}", paths.len());
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("an item") {
                let responses = operation["responses"].as_object().expect("responses");
                for (status, response) in responses {
                    let told = response["description"].as_str().is_some_and(|text| !text.is_empty());
                    assert!(told, "{method} {path} {status} has no description");
                }
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                if path.starts_with("/api/v1/") {
                    assert!(operation["security"].is_array(), "{method} {path} does not say who may call it");
                }
                let queried = parameters(operation, "query").next().is_some();
                if queried || operation["requestBody"].is_object() {
                    assert!(responses.contains_key("400"), "{method} {path} can refuse what it is given");
                }
                let in_path = parameters(operation, "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_list_says_how_it_is_paged() {
        let document = serde_json::to_value(document()).expect("serialises");
        let mut lists = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            let answer = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"];
            // The channels of a terminal are few: one page holds them.
            if !answer.as_str().is_some_and(|name| name.contains("/Page_")) || path.ends_with("/channels") {
                continue;
            }
            lists += 1;
            for name in ["cursor", "limit"] {
                assert!(parameters(&item["get"], "query").any(|told| told == name), "{path} takes {name}");
            }
        }
        assert!(lists > 8, "{lists}");
    }

    fn parameters<'a>(operation: &'a serde_json::Value, place: &'a str) -> impl Iterator<Item = &'a str> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        parameters.filter(move |it| it["in"] == place).filter_map(|it| it["name"].as_str())
    }

    #[test]
    #[should_panic(expected = "two types have the schema name Channel")]
    fn two_types_of_one_name_are_refused() {
        let schema = |kind: Type| RefOr::from(ObjectBuilder::new().schema_type(kind).build());
        let named = |kind: Type| ("Channel".to_owned(), schema(kind));
        assert_eq!(by_name(vec![named(Type::String), named(Type::String)]).len(), 1);
        by_name(vec![named(Type::String), named(Type::Integer)]);
    }
}
