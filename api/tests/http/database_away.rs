//! While the database is away: 503 as a problem, nothing else, and nothing lost by it.

use crate::support::{self, Server, wait_for};
use db::ROOT_COMPANY;
use model::Permission;
use reqwest::{Method, Response};
use serde_json::{Value, json};

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

/// The database stored them, and its reply was lost: what is answered, and what is shown from then on.
#[tokio::test]
async fn a_change_whose_outcome_is_unknown_is_looked_for() {
    let (server, switch) = Server::switched().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
    let root = server.token("root").await;
    let (us, them) = (server.token(&ours.name).await, server.token(&theirs.name).await);
    wait_for("both", async || (shown(&server, &root).await.len() == 2).then_some(())).await;
    assert_eq!(shown(&server, &us).await, [ours.terminal.0]);

    let change = async |statement: &'static str, method: Method, path: &str, body: Value| {
        switch.lose_commit_of(statement);
        let reply = server.request(method, path).bearer_auth(&root).json(&body).send().await;
        let reply = reply.expect("a reply");
        assert_eq!(reply.status(), 503, "{path}");
        assert!(reply.headers().contains_key("retry-after"), "{path}");
        let problem: Value = reply.json().await.expect("a problem");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("look whether")), "{problem}");
    };
    // Nobody waits for the table's next reading: whose it was sees it no more.
    let body = json!({"company_id": theirs.company});
    change("UPDATE vehicle", Method::PATCH, &format!("/api/v1/vehicles/{}", ours.vehicle), body).await;
    assert_eq!(shown(&server, &us).await, [] as [i64; 0]);
    assert_eq!(shown(&server, &them).await, [ours.terminal.0, theirs.terminal.0]);

    let body = json!({"sim": "13911111111", "company_id": ours.company});
    change("INSERT INTO terminal", Method::POST, "/api/v1/terminals", body.clone()).await;
    let made = wait_for("the terminal", async || shown(&server, &us).await.first().copied()).await;
    let again = server.request(Method::POST, "/api/v1/terminals").bearer_auth(&root).json(&body);
    assert_eq!(again.send().await.expect("a reply").status(), 409, "it is there");

    change("DELETE FROM terminal", Method::DELETE, &format!("/api/v1/terminals/{made}"), json!({})).await;
    assert_eq!(shown(&server, &us).await, [] as [i64; 0]);
    server.stop().await;
}

/// Whose latest status an account sees.
async fn shown(server: &Server, token: &str) -> Vec<i64> {
    let request = server.request(Method::GET, "/api/v1/positions/latest").bearer_auth(token);
    let page: Value = request.send().await.expect("a reply").json().await.expect("JSON");
    let items = page["items"].as_array().expect("items");
    items.iter().filter_map(|item| item["terminal_id"].as_i64()).collect()
}
