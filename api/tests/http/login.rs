//! Logging in: throttling, refresh tokens that work once, what the errors look like.

use crate::support::{self, PASSWORD, Server};
use reqwest::Method;
use serde_json::{Value, json};

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
async fn log_ins_at_the_documents_are_throttled_with_all_others() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let open = async |path: &str, password: &str| {
        let request = server.request(Method::GET, path).basic_auth(&tenant.name, Some(password));
        request.send().await.expect("a reply")
    };
    assert_eq!(open("/docs/", PASSWORD).await.status(), 200);
    for attempt in 0..10 {
        let reply = open(["/docs/", "/openapi.json"][attempt % 2], "wrong").await;
        assert_eq!(reply.status(), 401, "attempt {attempt}");
        assert!(reply.headers()["www-authenticate"].to_str().is_ok_and(|how| how.starts_with("Basic ")));
    }
    for path in ["/docs/", "/openapi.json"] {
        let reply = open(path, PASSWORD).await;
        assert_eq!(reply.status(), 429, "{path}");
        assert!(reply.headers().contains_key("retry-after"), "{path}");
        // Who is logged in needs no password.
        let reply = server.request(Method::GET, path).bearer_auth(&token).send().await.expect("a reply");
        assert_eq!(reply.status(), 200, "{path}");
    }
    assert_eq!(server.try_log_in(&tenant.name, PASSWORD).await.status(), 429);
    server.stop().await;
}

#[tokio::test]
async fn an_address_rests_after_fifty_failures_whatever_it_tries() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    for attempt in 0..50 {
        let name = format!("nobody-{attempt}");
        assert_eq!(server.try_log_in(&name, "wrong").await.status(), 401, "attempt {attempt}");
    }
    let reply = server.try_log_in(&tenant.name, PASSWORD).await;
    assert_eq!(reply.status(), 429, "an account that never failed");
    assert!(reply.headers().contains_key("retry-after"));
    let documents = server.request(Method::GET, "/openapi.json").basic_auth(&tenant.name, Some(PASSWORD));
    assert_eq!(documents.send().await.expect("a reply").status(), 429);
    let query = format!("account={}&password={}", tenant.name, support::cmsv6::password());
    assert_eq!(support::cmsv6::call(&server, "login", &query).await["result"], 1);
    // From elsewhere the account may log in. All of 127.0.0.0/8 is this machine.
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2]));
    let body = json!({"account": tenant.name, "password": PASSWORD});
    let url = format!("http://{}/api/v1/auth/login", server.addr);
    let reply = elsewhere.build().expect("a client").post(url).json(&body).send().await.expect("a reply");
    assert_eq!(reply.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn however_a_name_is_written_its_failures_are_counted_together() {
    let server = Server::start().await;
    server.account(db::ROOT_COMPANY, "kim", &[]).await;
    // Spaces are cut off, and the last is the Kelvin sign, whose small letter is k.
    let spellings = ["kim", " kim", "kim ", "KIM", "\tkim", "\u{212A}im"];
    for attempt in 0..10 {
        let reply = server.try_log_in(spellings[attempt % spellings.len()], "wrong").await;
        assert_eq!(reply.status(), 401, "attempt {attempt}");
    }
    for name in spellings {
        assert_eq!(server.try_log_in(name, PASSWORD).await.status(), 429, "{name:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refresh_token_used_long_ago_ends_the_login_and_so_does_logging_out_with_one() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let first = server.log_in(&tenant.name).await;
    let mut last = first.clone();
    for _ in 0..30 {
        let reply = refresh(&server, &last["refresh_token"]).await;
        assert_eq!(reply.status(), 200);
        last = reply.json().await.expect("tokens");
    }
    assert_eq!(me(&server, &last).await, 200);
    assert_eq!(refresh(&server, &first["refresh_token"]).await.status(), 401, "used thirty times before");
    assert_eq!(me(&server, &last).await, 401);
    assert_eq!(refresh(&server, &last["refresh_token"]).await.status(), 401);

    let first = server.log_in(&tenant.name).await;
    let other = server.log_in(&tenant.name).await;
    let second: Value = refresh(&server, &first["refresh_token"]).await.json().await.expect("tokens");
    let body = json!({"refresh_token": first["refresh_token"]});
    let token = second["access_token"].as_str().expect("a token");
    let reply =
        server.request(Method::POST, "/api/v1/auth/logout").bearer_auth(token).json(&body).send().await;
    assert_eq!(reply.expect("a reply").status(), 204);
    assert_eq!(me(&server, &second).await, 401);
    assert_eq!(refresh(&server, &second["refresh_token"]).await.status(), 401);
    assert_eq!(me(&server, &other).await, 200, "another login of the account lasts");
    server.stop().await;
}

#[tokio::test]
async fn an_account_that_may_more_is_in_nobodys_hands() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let manage = [model::Permission::ManageAccounts];
    let (_, equal) = server.account(tenant.company, "equal", &manage).await;
    let (small, _) = server.account(tenant.company, "small", &manage).await;
    let token = server.token("small").await;
    let ask = async |method: Method, path: String, body: Value| {
        let request = server.request(method, &path).bearer_auth(&token).json(&body);
        request.send().await.expect("a reply").status().as_u16()
    };
    let (account, role, company) = (tenant.account, tenant.role, tenant.company);
    let named = |role: model::RoleId| json!({"company_id": company, "role_id": role, "name": "new", "password": "long enough"});
    let all = json!({"permissions": model::Permission::ALL.map(model::Permission::name)});
    assert_eq!(ask(Method::DELETE, format!("/api/v1/accounts/{account}"), Value::Null).await, 403);
    assert_eq!(
        ask(Method::PATCH, format!("/api/v1/accounts/{account}"), json!({"enabled": false})).await,
        403
    );
    assert_eq!(ask(Method::PATCH, format!("/api/v1/accounts/{equal}"), json!({"role_id": role})).await, 403);
    assert_eq!(ask(Method::POST, "/api/v1/accounts".into(), named(role)).await, 403);
    assert_eq!(ask(Method::DELETE, format!("/api/v1/roles/{role}"), Value::Null).await, 403);
    assert_eq!(ask(Method::PATCH, format!("/api/v1/roles/{role}"), json!({"name": "x"})).await, 403);
    assert_eq!(ask(Method::PATCH, format!("/api/v1/roles/{small}"), all).await, 403);
    assert_eq!(
        ask(Method::POST, "/api/v1/accounts".into(), named(small)).await,
        201,
        "as much as oneself may"
    );
    assert_eq!(ask(Method::DELETE, format!("/api/v1/accounts/{equal}"), Value::Null).await, 204);
    server.stop().await;
}

#[tokio::test]
async fn a_password_set_by_another_must_be_changed_and_ends_the_logins() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let (_, id) = server.account(tenant.company, "somebody", &model::Permission::ALL).await;
    let before = server.log_in("somebody").await;
    let manager = server.token(&tenant.name).await;
    let change = json!({"name": "renamed", "password": "another password"});
    let path = format!("/api/v1/accounts/{id}");
    let reply = server.request(Method::PATCH, &path).bearer_auth(&manager).json(&change).send().await;
    let changed: Value = reply.expect("a reply").json().await.expect("the account");
    assert_eq!((&changed["name"], &changed["must_change_password"]), (&json!("renamed"), &json!(true)));
    assert_eq!(me(&server, &before).await, 401);
    assert_eq!(refresh(&server, &before["refresh_token"]).await.status(), 401);
    let reply = server.try_log_in("renamed", "another password").await;
    assert_eq!(reply.status(), 200);
    let after: Value = reply.json().await.expect("tokens");
    assert_eq!(after["must_change_password"], true);
    let token = after["access_token"].as_str().expect("a token");
    let reply = server.request(Method::GET, "/api/v1/vehicles").bearer_auth(token).send().await;
    assert_eq!(reply.expect("a reply").status(), 403, "not before it is changed");
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
    let company = format!("/api/v1/companies/{}", tenant.company);
    let twice = json!({"company_id": tenant.company, "name": "x", "permissions": ["view", "view"]});
    let cases = [
        (400, server.request(Method::PATCH, &company).json(&json!([null, null]))),
        (400, server.request(Method::PATCH, &company).json(&json!([]))),
        (400, server.request(Method::PATCH, &company).json(&Value::Null)),
        (400, server.request(Method::POST, "/api/v1/roles").json(&twice)),
        (400, server.request(Method::POST, vehicles).json(&unknown_field)),
        (400, server.request(Method::POST, vehicles).json(&wrong_type)),
        (400, server.request(Method::POST, vehicles).header("content-type", "application/json").body("{")),
        (413, server.request(Method::POST, vehicles).json(&long)),
        (415, server.request(Method::POST, vehicles).body("plate=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?limit=0")),
        (400, server.request(Method::GET, "/api/v1/vehicles?limit=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?cursor=x")),
        (400, server.request(Method::GET, "/api/v1/vehicles?colour=red")),
        (400, server.request(Method::GET, &format!("/api/v1/vehicles?q={}", "x".repeat(65)))),
        (400, server.request(Method::GET, &format!("/api/v1/events?types={}", "alarm,".repeat(20)))),
        (
            400,
            server
                .request(Method::POST, "/api/v1/auth/refresh")
                .json(&json!({"refresh_token": "x".repeat(257)})),
        ),
        (400, server.request(Method::GET, "/api/v1/alarms?from=-4800-01-01T00:00:00Z")),
        (400, server.request(Method::GET, "/api/v1/alarms?to=%2B262142-12-31T00:00:00Z")),
        (400, server.request(Method::GET, "/api/v1/alarms?cursor=-9223372036854775808_0_0")),
        (400, server.request(Method::GET, "/api/v1/alarms?cursor=9223372036854775807_0_0")),
        (
            400,
            server.request(
                Method::GET,
                &format!(
                    "/api/v1/vehicles/{}/track?from=-4800-01-01T00:00:00Z&to=-4800-01-02T00:00:00Z",
                    tenant.vehicle
                ),
            ),
        ),
        (
            400,
            server
                .request(Method::PATCH, &format!("/api/v1/accounts/{}", tenant.account))
                .json(&json!({"expires_at": "-4800-01-01T00:00:00Z"})),
        ),
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

#[tokio::test]
async fn a_caller_who_refuses_every_coding_gets_the_reply_as_it_is() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    for refused in ["identity;q=0", "*;q=0", "br, identity;q=0"] {
        let request = server.request(Method::GET, "/api/v1/me").bearer_auth(&token);
        let reply = request.header("accept-encoding", refused).send().await.expect("a reply");
        assert_eq!(reply.status(), 200, "{refused}");
        assert!(!reply.headers().contains_key("content-encoding"), "{refused}");
    }
    let request = server.request(Method::GET, "/api/v1/me").bearer_auth(&token);
    let reply = request.header("accept-encoding", "gzip").send().await.expect("a reply");
    assert_eq!(reply.headers()["content-encoding"], "gzip");
    server.stop().await;
}
