//! Who may call what, for every operation of the document: without a log-in 401, without the right 403,
//! another company's things 404. An operation that is not covered here fails the test.

use crate::support::nodes::OURS;
use crate::support::{Server, Tenant};
use model::AlarmId;
use reqwest::Method;
use serde_json::{Value, json};

/// Operations that need no log-in; nothing else may be added lightly.
const PUBLIC: [&str; 4] =
    ["GET /healthz", "GET /readyz", "POST /api/v1/auth/login", "POST /api/v1/auth/refresh"];

/// Operations for which any log-in is enough: what one does to oneself.
const ANY_LOGIN: [&str; 4] =
    ["POST /api/v1/auth/logout", "GET /api/v1/me", "POST /api/v1/me/password", "DELETE /api/v1/me"];

/// Addresses whose `{...}` names nothing that belongs to a company.
const OF_NOBODY: [&str; 2] = ["/api/v1/pending-terminals/{sim}", "/api/v1/pending-terminals/{sim}/approve"];

#[tokio::test]
async fn every_operation_asks_who_calls_and_what_they_may() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let alarm = server.alarm(&theirs).await;
    server.account(ours.company, "nobody", &[]).await;
    let manager = server.token(&ours.name).await;
    let nobody = server.token("nobody").await;

    let document = serde_json::to_value(api::document()).expect("serialises");
    for (template, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            let method = method.to_uppercase();
            let name = format!("{method} {template}");
            if PUBLIC.contains(&name.as_str()) {
                continue;
            }
            let call = async |token: Option<&str>| {
                let path = path(template, &theirs, alarm);
                let mut request =
                    server.request(Method::from_bytes(method.as_bytes()).expect("a method"), &path);
                if let Some(body) = body(&name, &ours) {
                    request = request.json(&body);
                }
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let reply = request.send().await.expect("a reply");
                let kind =
                    reply.headers().get("content-type").map(|kind| kind.to_str().unwrap_or("").to_owned());
                (reply.status().as_u16(), kind.unwrap_or_default())
            };
            let problem = |status: u16| (status, "application/problem+json".to_owned());
            assert_eq!(call(None).await, problem(401), "{name} without a log-in");
            assert_eq!(call(Some("x.y.z")).await, problem(401), "{name} with a false token");
            if right(operation).is_some() {
                assert_eq!(call(Some(&nobody)).await, problem(403), "{name} without the right");
            } else {
                assert!(ANY_LOGIN.contains(&name.as_str()), "{name}: which right does it need?");
            }
            if template.contains('{') && !OF_NOBODY.contains(&template.as_str()) {
                assert_eq!(call(Some(&manager)).await, problem(404), "{name} of another company");
            }
        }
    }
    // What was refused above is there: its own company finds it, and the root company the node.
    server.account(db::ROOT_COMPANY, "root", &model::Permission::ALL).await;
    let root = server.token("root").await;
    let node = path("/api/v1/nodes/{node}", &theirs, alarm);
    let reply = server.request(Method::GET, &node).bearer_auth(&root).send().await.expect("a reply");
    assert_eq!(reply.status(), 200, "{node}");
    let owner = server.token(&theirs.name).await;
    for template in ["companies", "roles", "accounts", "vehicles", "terminals", "alarms", "device-profiles"] {
        let path = path(&format!("/api/v1/{template}/{{id}}"), &theirs, alarm);
        let reply = server.request(Method::GET, &path).bearer_auth(&owner).send().await.expect("a reply");
        assert_eq!(reply.status(), 200, "{path}");
    }
    server.stop().await;
}

/// The right that the document says the operation needs.
fn right(operation: &Value) -> Option<&str> {
    operation["security"][0]["bearer"][0].as_str()
}

/// The address of something of `tenant`.
fn path(template: &str, tenant: &Tenant, alarm: AlarmId) -> String {
    let id = match template.split('/').nth(3).expect("a noun") {
        "companies" => tenant.company.to_string(),
        "roles" => tenant.role.to_string(),
        "accounts" => tenant.account.to_string(),
        "vehicles" => tenant.vehicle.to_string(),
        "terminals" => tenant.terminal.to_string(),
        "alarms" => alarm.to_string(),
        "device-profiles" => tenant.device_profile.to_string(),
        _ => String::new(),
    };
    assert!(!template.contains("{id}") || !id.is_empty(), "{template}: whose is it?");
    let path = template
        .replace("{id}", &id)
        .replace("{n}", "1")
        .replace("{sim}", "13999999999")
        .replace("{node}", OURS);
    let query = if path.ends_with("/track") {
        "?from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z"
    } else if path.ends_with("/events") {
        "?max_seconds=1"
    } else {
        ""
    };
    path + query
}

/// A body that fits, so that only the right decides.
fn body(name: &str, tenant: &Tenant) -> Option<Value> {
    let company = tenant.company;
    Some(match name {
        "POST /api/v1/auth/logout" => json!({"refresh_token": "x"}),
        "POST /api/v1/me/password" => json!({"old": "x", "new": "long enough"}),
        "POST /api/v1/companies" => json!({"parent_id": company, "name": "new"}),
        "POST /api/v1/roles" => json!({"company_id": company, "name": "new", "permissions": []}),
        "POST /api/v1/accounts" => {
            json!({"company_id": company, "role_id": tenant.role, "name": "new", "password": "long enough"})
        }
        "POST /api/v1/device-profiles" => json!({"company_id": company, "name": "new"}),
        "POST /api/v1/vehicles" => json!({"company_id": company, "plate": "new"}),
        "POST /api/v1/terminals" => json!({"company_id": company, "sim": "13911111111"}),
        "POST /api/v1/pending-terminals/{sim}/approve" => json!({"company_id": company}),
        "POST /api/v1/alarms/{id}/handle" => json!({"note": ""}),
        "POST /api/v1/dispatch" => json!({"role": "api"}),
        "PATCH /api/v1/terminals/{id}/channels/{n}" => json!({"name": "new"}),
        "POST /api/v1/nodes/{node}/drain"
        | "POST /api/v1/nodes/{node}/undrain"
        | "POST /api/v1/terminals/{id}/dispatch" => return None,
        "PATCH /api/v1/terminals/{id}/servers" => json!({"main": [{"host": "a", "port": 1}]}),
        name if name.starts_with("PATCH ") || name.ends_with("/live") => json!({}),
        name => {
            assert!(!name.starts_with("POST "), "{name}: no body to test its permission with");
            return None;
        }
    })
}
