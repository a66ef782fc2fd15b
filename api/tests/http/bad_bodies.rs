//! Bodies and queries with a field that nobody knows, or of a type that does not fit: what is answered, and that
//! nothing is done.

use crate::support::connection::Connection;
use crate::support::{PASSWORD, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// `body` with one field more, or one that is another.
fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

/// Fails unless this is a problem of `field` and of nothing else.
fn assert_names(reply: &(u16, Value), field: &str, what: &str) {
    let (status, problem) = reply;
    assert_eq!(
        (*status, &problem["status"], &problem["title"]),
        (400, &json!(400), &json!("Bad Request")),
        "{what}"
    );
    let [error] = problem["errors"].as_array().expect("the fields").as_slice() else {
        panic!("{what}: {problem}")
    };
    assert_eq!(error["field"], field, "{what}: {problem}");
    assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{what}: {problem}");
    let detail = problem["detail"].as_str().expect("text");
    assert!(detail.starts_with(&format!("{field}: ")), "{what}: {problem}");
}

#[tokio::test]
async fn an_unknown_json_field_or_type_is_named_and_nothing_is_stored() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let (company, role) = (tenant.company, tenant.role);
    let (_, account) = server.account(company, "colleague", &[]).await;
    let (unused, _) = server.account(company, "other", &[]).await;
    // Where it is sent, where it would be seen, a body that is right, and one of its fields as another type.
    let cases = [
        ("/vehicles", "", json!({"company_id": company, "plate": "new"}), ("plate", json!(7))),
        (
            "/terminals",
            "",
            json!({"company_id": company, "sim": "13911111111"}),
            ("sim", json!(13_911_111_111_u64)),
        ),
        (
            "/device-profiles",
            "",
            json!({"company_id": company, "name": "new"}),
            ("redirect_form", json!("html")),
        ),
        (
            "/device-profiles",
            &format!("/{}", tenant.device_profile),
            json!({"name": "newer"}),
            ("redirect_form", json!(1)),
        ),
        ("/companies", "", json!({"parent_id": company, "name": "new"}), ("parent_id", json!("one"))),
        (
            "/roles",
            "",
            json!({"company_id": company, "name": "new", "permissions": ["view"]}),
            ("permissions", json!(["fly"])),
        ),
        (
            "/accounts",
            "",
            json!({"company_id": company, "role_id": role, "name": "new", "password": "long enough"}),
            ("must_change_password", json!("yes")),
        ),
        ("/vehicles", &format!("/{}", tenant.vehicle), json!({"plate": "newer"}), ("company_id", json!([1]))),
        (
            "/terminals",
            &format!("/{}", tenant.terminal),
            json!({"device_no": "newer"}),
            ("revoke_auth", json!(1)),
        ),
        ("/companies", &format!("/{company}"), json!({"name": "newer"}), ("parent_id", json!(1.5))),
        ("/roles", &format!("/{unused}"), json!({"name": "newer"}), ("permissions", json!({"view": true}))),
        ("/accounts", &format!("/{account}"), json!({"name": "newer"}), ("enabled", json!("no"))),
    ];
    let mut connection = Connection::open(&server).await;
    for (noun, id, right, (field, wrong)) in cases {
        let (method, done) = if id.is_empty() { (Method::POST, 201) } else { (Method::PATCH, 200) };
        let path = format!("/api/v1{noun}{id}");
        let before = connection.ask(&token, &Method::GET, &path, &Value::Null).await;
        assert_eq!(before.0, 200, "{path}");
        let unknown = connection.ask(&token, &method, &path, &with(&right, "colour", json!("red"))).await;
        assert_names(&unknown, "colour", &path);
        let mistyped = connection.ask(&token, &method, &path, &with(&right, field, wrong)).await;
        assert_names(&mistyped, field, &path);
        let after = connection.ask(&token, &Method::GET, &path, &Value::Null).await;
        assert_eq!(after, before, "{path}");
        // But for that one field each was right.
        assert_eq!(connection.ask(&token, &method, &path, &right).await.0, done, "{path}");
        assert_ne!(connection.ask(&token, &Method::GET, &path, &Value::Null).await, before, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_parameter_or_type_is_named() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let track = format!("/vehicles/{}/track", tenant.vehicle);
    let snapshot = format!("/vehicles/{}/channels/1/snapshot", tenant.vehicle);
    let day = "from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z";
    let mut connection = Connection::open(&server).await;
    let mut ask = async |path: &str, query: &str| {
        connection.ask(&token, &Method::GET, &format!("/api/v1{path}?{query}"), &Value::Null).await
    };
    // Where it is asked, a query that is right, and one of its parameters as another type.
    for (path, right, field, wrong) in [
        ("/vehicles", "q=ours", "online", "perhaps"),
        ("/vehicles", "limit=1", "company_id", "1.5"),
        ("/terminals", "limit=1", "limit", "-1"),
        ("/pending-terminals", "", "limit", "many"),
        ("/companies", "", "limit", "99999999999"),
        ("/roles", "", "limit", ""),
        ("/accounts", "", "limit", "1e2"),
        ("/device-profiles", "", "limit", "1.5"),
        ("/alarms", "active=true", "from", "yesterday"),
        ("/alarms", "", "kind", "boredom"),
        ("/positions/latest", "", "company_id", "ours"),
        (&track, day, "limit", "0x10"),
    ] {
        assert_eq!(ask(path, right).await.0, 200, "{path}?{right}");
        let mistyped = ask(path, &format!("{right}&{field}={wrong}")).await;
        assert_names(&mistyped, field, path);
        assert_names(&ask(path, &format!("{right}&colour=red")).await, "colour", path);
    }
    assert_names(&ask("/events", "max_seconds=soon").await, "max_seconds", "events");
    assert_names(&ask(&snapshot, "profile=third").await, "profile", "snapshot");
    assert_names(&ask(&track, "from=2026-11-22T00:00:00Z&to=tomorrow").await, "to", "track");
    let (status, problem) = ask(&track, "from=2026-11-22T00:00:00Z").await;
    assert_eq!(
        (status, &problem["errors"]),
        (400, &Value::Null),
        "what is missing stands in the detail: {problem}"
    );
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("`to`")), "{problem}");
    server.stop().await;
}

#[tokio::test]
async fn a_log_in_with_an_unknown_field_or_type_is_no_attempt() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let mut connection = Connection::open(&server).await;
    let mut log_in = async |body: Value| connection.ask("", &Method::POST, "/api/v1/auth/login", &body).await;
    let right = json!({"account": tenant.name, "password": PASSWORD});
    let wrong = json!({"account": tenant.name, "password": "wrong"});
    // More often than an account may fail.
    for _ in 0..6 {
        let unknown = log_in(with(&wrong, "remember", json!(true))).await;
        assert_names(&unknown, "remember", "log-in");
        assert_names(&log_in(with(&wrong, "password", json!(12_345_678))).await, "password", "log-in");
    }
    let (status, tokens) = log_in(right.clone()).await;
    assert_eq!(status, 200, "{tokens}");
    assert_names(&log_in(with(&right, "account", json!([tenant.name]))).await, "account", "log-in");
    let (status, problem) = log_in(json!({"account": tenant.name})).await;
    assert_eq!(
        (status, &problem["errors"]),
        (400, &Value::Null),
        "what is missing stands in the detail: {problem}"
    );
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("password")), "{problem}");
    server.stop().await;
}
