//! Nothing is answered to nobody, save health, log-in and, where set, the documents.

use crate::support::{PASSWORD, Server};
use reqwest::Method;
use serde_json::Value;

/// What needs no log-in; DESIGN's list, and nothing may be added lightly.
const PUBLIC: [&str; 4] =
    ["GET /healthz", "GET /readyz", "POST /api/v1/auth/login", "POST /api/v1/auth/refresh"];

/// Every action of the CMSV6 face but logging in and out.
const ACTIONS: [&str; 4] = ["queryUserVehicle", "getDeviceOlStatus", "getDeviceStatus", "queryTrackDetail"];

const DOCUMENTS: [&str; 3] = ["/openapi.json", "/docs/", "/docs/swagger-ui.css"];

#[tokio::test]
async fn anything_before_authentication() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;

    let document = serde_json::to_value(api::document()).expect("serialises");
    let mut guarded = 0;
    for (template, item) in document["paths"].as_object().expect("paths") {
        for method in item.as_object().expect("an item").keys() {
            let method = method.to_uppercase();
            if PUBLIC.contains(&format!("{method} {template}").as_str()) {
                continue;
            }
            guarded += 1;
            let path = template
                .replace("{id}", "1")
                .replace("{n}", "1")
                .replace("{sim}", "13900000001")
                .replace("{node}", "api1");
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            for header in [None, Some("Bearer"), Some("Bearer x.y.z"), Some("Basic eDp5")] {
                let mut request = server.request(method.clone(), &path);
                if let Some(header) = header {
                    request = request.header("authorization", header);
                }
                let reply = request.send().await.expect("a reply");
                assert_eq!(reply.status(), 401, "{method} {path} with {header:?}");
                assert_eq!(reply.headers()["content-type"], "application/problem+json", "{method} {path}");
            }
        }
    }
    assert!(guarded > 40, "{guarded}");
    for path in ["/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1//vehicles", "/api/v1/auth"] {
        let reply = server.request(Method::GET, path).send().await.expect("a reply");
        assert!(matches!(reply.status().as_u16(), 401 | 404), "{path}: {}", reply.status());
    }

    for action in ACTIONS {
        for folder in ["", "/808gps"] {
            for session in ["", "jsession=", "jsession=x", "jsession=00000000000000000000000000000000"] {
                let path = format!(
                    "{folder}/StandardApiAction_{action}.action?{session}&devIdno={}&vehiIdno={}",
                    tenant.device_no, tenant.plate
                );
                let reply = server.request(Method::GET, &path).send().await.expect("a reply");
                let reply: Value = reply.json().await.expect("JSON");
                assert_eq!(reply["result"], 5, "{path}");
                assert!(!reply.to_string().contains(&tenant.plate), "{path}: {reply}");
            }
        }
    }
    // Logging out of nothing is no error, and says nothing.
    let reply = server.request(Method::GET, "/StandardApiAction_logout.action?jsession=x").send().await;
    let reply: Value = reply.expect("a reply").json().await.expect("JSON");
    assert_eq!(reply, serde_json::json!({"result": 0}));
    server.stop().await;
}

#[tokio::test]
async fn documents_need_a_log_in_unless_they_are_public() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    for path in DOCUMENTS {
        let reply = server.request(Method::GET, path).send().await.expect("a reply");
        assert_eq!(reply.status(), 401, "{path}");
        let asks = reply.headers()["www-authenticate"].to_str().expect("text");
        assert!(asks.starts_with("Basic "), "a browser can ask the person: {asks}");
        let wrong = server.request(Method::GET, path).basic_auth(&tenant.name, Some("wrong"));
        assert_eq!(wrong.send().await.expect("a reply").status(), 401, "{path}");
        let person = server.request(Method::GET, path).basic_auth(&tenant.name, Some(PASSWORD));
        assert_eq!(person.send().await.expect("a reply").status(), 200, "{path}");
        let program = server.request(Method::GET, path).bearer_auth(&token);
        assert_eq!(program.send().await.expect("a reply").status(), 200, "{path}");
    }
    server.stop().await;

    let public = Server::with_public_docs().await;
    for path in DOCUMENTS {
        let reply = public.request(Method::GET, path).send().await.expect("a reply");
        assert_eq!(reply.status(), 200, "{path}");
    }
    let reply = public.request(Method::GET, "/api/v1/vehicles").send().await.expect("a reply");
    assert_eq!(reply.status(), 401, "the documents only");
    public.stop().await;
}
