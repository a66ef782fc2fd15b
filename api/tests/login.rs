//! Logging in: throttling, refresh tokens that work once, what the errors look like.

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{PASSWORD, Server};

async fn refresh(server: &Server, token: &Value) -> reqwest::Response {
    let body = json!({"refresh_token": token});
    server.request(Method::POST, "/api/v1/auth/refresh").json(&body).send().await.expect("a reply")
}

async fn me(server: &Server, tokens: &Value) -> u16 {
    let token = tokens["access_token"].as_str().expect("a token");
    let reply = server.request(Method::GET, "/api/v1/me").bearer_auth(token).send().await;
    reply.expect("a reply").status().as_u16()
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_login() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let first = server.log_in(&tenant.name).await;
    let second: Value = refresh(&server, &first["refresh_token"]).await.json().await.expect("tokens");
    assert_eq!(me(&server, &second).await, 200);
    assert_eq!(refresh(&server, &first["refresh_token"]).await.status(), 401, "used before");
    assert_eq!(refresh(&server, &second["refresh_token"]).await.status(), 401, "its login is revoked");
    assert_eq!(me(&server, &second).await, 401, "access tokens of the login end with it");
    server.stop().await;
}

#[tokio::test]
async fn log_ins_are_throttled_and_say_when_to_come_back() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    for _ in 0..10 {
        assert_eq!(server.try_log_in(&tenant.name, "wrong").await.status(), 401);
    }
    let reply = server.try_log_in(&tenant.name, PASSWORD).await;
    assert_eq!(reply.status(), 429, "the right password too");
    let wait: u64 = reply.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=301).contains(&wait), "{wait}");
    assert_eq!(server.try_log_in("somebody else", "wrong").await.status(), 401);
    server.stop().await;
}

#[tokio::test]
async fn errors_are_problems_whoever_finds_them() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let vehicles = "/api/v1/vehicles";
    let unknown_field = json!({"company_id": tenant.company, "plate": "x", "colour": "red"});
    let wrong_type = json!({"company_id": "one", "plate": "x"});
    let long = json!({"company_id": tenant.company, "plate": "x".repeat(100_000)});
    let cases = [
        (400, server.request(Method::POST, vehicles).json(&unknown_field)),
        (400, server.request(Method::POST, vehicles).json(&wrong_type)),
        (400, server.request(Method::POST, vehicles).header("content-type", "application/json").body("{")),
        (413, server.request(Method::POST, vehicles).json(&long)),
        (415, server.request(Method::POST, vehicles).body("plate=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?limit=0")),
        (400, server.request(Method::GET, "/api/v1/vehicles?limit=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?cursor=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?colour=red")),
        (404, server.request(Method::GET, "/api/v1/vehicles/x")),
        (404, server.request(Method::GET, "/api/v1/nothing")),
        (405, server.request(Method::PUT, vehicles)),
        (
            409,
            server
                .request(Method::POST, vehicles)
                .json(&json!({"company_id": tenant.company, "plate": tenant.plate})),
        ),
        (400, server.request(Method::GET, "/api/v1/events?types=weather")),
        (404, server.request(Method::GET, "/api/v1/events?vehicle_id=999999")),
    ];
    for (status, request) in cases {
        let reply = request.bearer_auth(&token).send().await.expect("a reply");
        let url = reply.url().clone();
        assert_eq!(reply.status().as_u16(), status, "{url}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json", "{url}");
        let problem: Value = reply.json().await.expect("a problem");
        assert_eq!(problem["status"], status, "{url}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{url}");
    }
    server.stop().await;
}
