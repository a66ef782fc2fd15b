//! While the database is away: 503 as a problem, nothing else, and nothing lost by it.

mod support;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use support::Server;

async fn refresh(server: &Server, token: &Value) -> Response {
    let body = json!({"refresh_token": token});
    server.request(Method::POST, "/api/v1/auth/refresh").json(&body).send().await.expect("a reply")
}

#[tokio::test]
async fn what_cannot_be_asked_of_the_database_is_503_and_can_be_asked_again() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let tokens = server.log_in(&tenant.name).await;
    let token = tokens["access_token"].as_str().expect("a token");
    server.database.take_away();

    for path in
        ["/api/v1/vehicles", "/api/v1/positions/latest", "/api/v1/alarms", "/api/v1/accounts", "/readyz"]
    {
        let reply = server.request(Method::GET, path).bearer_auth(token).send().await.expect("a reply");
        assert_eq!(reply.status(), 503, "{path}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json", "{path}");
        assert!(reply.headers().contains_key("retry-after"), "{path}");
        let problem: Value = reply.json().await.expect("a problem");
        assert_eq!(problem["status"], 503, "{path}");
        assert!(!problem.to_string().contains("FATAL"), "what the server said stays here: {problem}");
    }
    assert_eq!(server.try_log_in(&tenant.name, support::PASSWORD).await.status(), 503);
    assert_eq!(refresh(&server, &tokens["refresh_token"]).await.status(), 503);
    let alive = server.request(Method::GET, "/healthz").send().await.expect("a reply");
    assert_eq!(alive.status(), 200);

    server.database.bring_back();
    let again = refresh(&server, &tokens["refresh_token"]).await;
    assert_eq!(again.status(), 200, "a refresh that was put off is no second use");
    let ready = server.request(Method::GET, "/readyz").send().await.expect("a reply");
    assert_eq!(ready.status(), 200);
    server.stop().await;
}
