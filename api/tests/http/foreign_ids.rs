//! Another company's keys, wherever they are given: in bodies, in queries, in the list of waiting terminals. Each is
//! answered as a key of nothing.

use crate::support::Server;
use reqwest::Method;
use serde_json::{Value, json};

/// A key of nothing.
const NOTHING: i64 = 999_999;

async fn ask(server: &Server, token: &str, method: &Method, path: &str, body: &Value) -> (u16, Value) {
    let mut request = server.request(method.clone(), path).bearer_auth(token);
    if !body.is_null() {
        request = request.json(body);
    }
    let reply = request.send().await.expect("a reply");
    (reply.status().as_u16(), reply.json().await.unwrap_or_default())
}

#[tokio::test]
async fn a_key_of_another_company_is_a_key_of_nothing() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let token = server.token(&ours.name).await;
    let (_, colleague) = server.account(ours.company, "colleague", &[]).await;
    let (company, account, vehicle, terminal) = (ours.company, colleague, ours.vehicle, ours.terminal);
    let new_account = |company: Value, role: Value| json!({"company_id": company, "role_id": role, "name": "new", "password": "long enough"});
    let cases = |their_company: i64, their_role: i64, their_vehicle: i64, their_terminal: i64| {
        [
            (
                Method::POST,
                "/api/v1/companies".to_owned(),
                json!({"parent_id": their_company, "name": "new"}),
            ),
            (Method::PATCH, format!("/api/v1/companies/{company}"), json!({"parent_id": their_company})),
            (
                Method::POST,
                "/api/v1/roles".into(),
                json!({"company_id": their_company, "name": "new", "permissions": []}),
            ),
            (Method::POST, "/api/v1/accounts".into(), new_account(json!(their_company), json!(ours.role))),
            (Method::POST, "/api/v1/accounts".into(), new_account(json!(company), json!(their_role))),
            (Method::PATCH, format!("/api/v1/accounts/{account}"), json!({"role_id": their_role})),
            (Method::PATCH, format!("/api/v1/accounts/{account}"), json!({"company_id": their_company})),
            (Method::POST, "/api/v1/vehicles".into(), json!({"company_id": their_company, "plate": "new"})),
            (Method::PATCH, format!("/api/v1/vehicles/{vehicle}"), json!({"company_id": their_company})),
            (
                Method::POST,
                "/api/v1/terminals".into(),
                json!({"company_id": their_company, "sim": "13911111111"}),
            ),
            (
                Method::POST,
                "/api/v1/terminals".into(),
                json!({"vehicle_id": their_vehicle, "sim": "13911111111"}),
            ),
            (Method::PATCH, format!("/api/v1/terminals/{terminal}"), json!({"vehicle_id": their_vehicle})),
            (
                Method::PATCH,
                format!("/api/v1/terminals/{terminal}"),
                json!({"vehicle_id": null, "company_id": their_company}),
            ),
            (
                Method::POST,
                format!("/api/v1/vehicles/{vehicle}/channels/1/live"),
                json!({"terminal_id": their_terminal}),
            ),
            (
                Method::GET,
                format!("/api/v1/vehicles/{vehicle}/channels/1/snapshot?terminal_id={their_terminal}"),
                Value::Null,
            ),
            (Method::GET, format!("/api/v1/vehicles?company_id={their_company}"), Value::Null),
            (Method::GET, format!("/api/v1/positions/latest?company_id={their_company}"), Value::Null),
            (Method::GET, format!("/api/v1/alarms?vehicle_id={their_vehicle}"), Value::Null),
            (Method::GET, format!("/api/v1/alarms?terminal_id={their_terminal}"), Value::Null),
            (Method::GET, format!("/api/v1/events?max_seconds=1&vehicle_id={their_vehicle}"), Value::Null),
        ]
    };
    let foreign = cases(theirs.company.0, theirs.role.0, theirs.vehicle.0, theirs.terminal.0);
    let unknown = cases(NOTHING, NOTHING, NOTHING, NOTHING);
    for ((method, path, body), (_, other_path, other_body)) in foreign.into_iter().zip(unknown) {
        let (status, problem) = ask(&server, &token, &method, &path, &body).await;
        assert_eq!(status, 404, "{method} {path} {body}: {problem}");
        let (status, other) = ask(&server, &token, &method, &other_path, &other_body).await;
        assert_eq!(status, 404, "{method} {other_path} {other_body}: {other}");
        assert_eq!(problem["detail"], other["detail"], "{method} {path} tells one from the other");
    }
    for path in
        ["/api/v1/vehicles", "/api/v1/terminals", "/api/v1/accounts", "/api/v1/roles", "/api/v1/companies"]
    {
        let (_, list) = ask(&server, &token, &Method::GET, path, &Value::Null).await;
        assert!(!list.to_string().contains("new"), "nothing was made: {list}");
        assert!(!list.to_string().contains("theirs"), "{path} shows another company's: {list}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_that_waits_is_seen_by_the_root_company_only() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    server.account(db::ROOT_COMPANY, "root", &model::Permission::ALL).await;
    let (root, ours) = (server.token("root").await, server.token(&tenant.name).await);
    let sim = "13900000077".parse().expect("a SIM");
    let registration = db::Registration { plate: "waiting".into(), ..db::Registration::default() };
    server.database.db().note_pending(&sim, &registration, "192.0.2.7:9").await.expect("noted");

    let list = "/api/v1/pending-terminals";
    let one = format!("{list}/{sim}");
    let approval = json!({"company_id": tenant.company});
    let (status, seen) = ask(&server, &ours, &Method::GET, list, &Value::Null).await;
    assert_eq!((status, seen["items"].as_array().map(Vec::len)), (200, Some(0)), "{seen}");
    assert_eq!(ask(&server, &ours, &Method::POST, &format!("{one}/approve"), &approval).await.0, 404);
    assert_eq!(ask(&server, &ours, &Method::DELETE, &one, &Value::Null).await.0, 404);

    let (_, seen) = ask(&server, &root, &Method::GET, list, &Value::Null).await;
    assert_eq!(seen["items"][0]["sim"], "13900000077", "it waits still: {seen}");
    let beyond = format!("{list}?cursor={}_0", i64::MIN);
    assert_eq!(ask(&server, &root, &Method::GET, &beyond, &Value::Null).await.0, 400, "no time of ours");
    let (status, made) = ask(&server, &root, &Method::POST, &format!("{one}/approve"), &approval).await;
    assert_eq!((status, &made["company_id"]), (200, &json!(tenant.company)), "{made}");
    server.stop().await;
}
