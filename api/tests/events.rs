//! The event stream: what arrives, what never does, and what ends it.

mod support;

use cluster::Events as _;
use db::ROOT_COMPANY;
use model::{Event, Permission, Presence, TerminalId};
use reqwest::Method;
use serde_json::{Value, json};
use support::drive::Drive;
use support::sse::{Message, Subscriber};
use support::{Server, wait_for};

fn came(terminal: TerminalId) -> Event {
    Event::Presence { terminal, presence: Presence::Online }
}

async fn patch(server: &Server, token: &str, path: &str, body: Value) {
    let request = server.request(Method::PATCH, path).bearer_auth(token).json(&body);
    let reply = request.send().await.expect("a reply");
    assert_eq!(reply.status(), 200, "{path}: {}", reply.text().await.unwrap_or_default());
}

#[tokio::test]
async fn what_a_terminal_does_arrives_with_its_vehicle() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let mut all = Subscriber::open(&server, &token, "").await;
    let mut positions = Subscriber::open(&server, &token, "types=position").await;
    let drive = Drive::start(&server, &[&tenant]).await;
    let (kind, event) = all.event().await;
    assert_eq!(kind, "presence");
    let expected = json!({
        "type": "presence", "terminal": tenant.terminal, "presence": "online", "vehicle_id": tenant.vehicle,
    });
    assert_eq!(event, expected);
    for _ in 0..3 {
        let (kind, event) = positions.event().await;
        assert_eq!((kind.as_str(), &event["type"]), ("position", &json!("position")));
        assert_eq!(
            (&event["terminal"], &event["vehicle_id"]),
            (&json!(tenant.terminal), &json!(tenant.vehicle))
        );
        assert!(event["latitude"].is_number() && event["device_time"].is_string());
    }
    drive.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn another_companys_events_never_arrive() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let token = server.token(&ours.name).await;
    let mut subscriber = Subscriber::open(&server, &token, "").await;
    for _ in 0..3 {
        server.events.publish(came(theirs.terminal));
        server.events.publish(came(TerminalId(999_999)));
        server.events.publish(came(ours.terminal));
        let (_, event) = subscriber.event().await;
        assert_eq!(event["terminal"], json!(ours.terminal));
    }
    // Nor by asking for their vehicle by name.
    let query = format!("vehicle_id={}", theirs.vehicle);
    assert_eq!(Subscriber::try_open(&server, &token, &query).await.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn a_vehicle_that_moves_takes_its_events_along() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
    let root = server.token("root").await;
    let mut us = Subscriber::open(&server, &server.token(&ours.name).await, "").await;
    let mut them = Subscriber::open(&server, &server.token(&theirs.name).await, "").await;
    server.events.publish(came(ours.terminal));
    assert_eq!(us.event().await.1["terminal"], json!(ours.terminal));
    let path = format!("/api/v1/vehicles/{}", ours.vehicle);
    patch(&server, &root, &path, json!({"company_id": theirs.company})).await;
    server.events.publish(came(ours.terminal));
    assert_eq!(them.event().await.1["terminal"], json!(ours.terminal));
    patch(&server, &root, &path, json!({"company_id": ours.company})).await;
    let gone = Event::Presence { terminal: ours.terminal, presence: Presence::Offline };
    server.events.publish(gone);
    assert_eq!(us.event().await.1["presence"], "offline", "of what happened while it was theirs, nothing");
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_told_so() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let mut subscriber = Subscriber::open(&server, &server.token(&tenant.name).await, "").await;
    // Far more than the bus keeps, faster than anybody can write them down.
    for _ in 0..200_000 {
        server.events.publish(came(tenant.terminal));
    }
    let missed = loop {
        let (kind, event) = subscriber.event().await;
        if kind == "lagged" {
            break event["missed"].as_u64().expect("a number");
        }
    };
    assert!(missed > 0);
    // And it goes on.
    while subscriber.event().await.0 != "presence" {}
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_after_max_seconds() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let mut subscriber = Subscriber::open(&server, &token, "max_seconds=1").await;
    subscriber.assert_ends().await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_login_and_no_other() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let login = server.log_in(&tenant.name).await;
    let token = login["access_token"].as_str().expect("a token");
    let mut ended = Subscriber::open(&server, token, "").await;
    let mut other = Subscriber::open(&server, &server.token(&tenant.name).await, "").await;
    let body = json!({"refresh_token": login["refresh_token"]});
    let request = server.request(Method::POST, "/api/v1/auth/logout").bearer_auth(token).json(&body);
    assert_eq!(request.send().await.expect("a reply").status(), 204);
    ended.assert_ends().await;
    server.events.publish(came(tenant.terminal));
    assert_eq!(other.event().await.0, "presence");
    server.stop().await;
}

#[tokio::test]
async fn the_streams_of_an_account_are_bounded_and_leave_those_of_others_alone() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let token = server.token(&ours.name).await;
    let mut open = Vec::new();
    // The bound is of the account, whatever its log-ins.
    for token in [token.clone(), server.token(&ours.name).await] {
        for _ in 0..25 {
            open.push(Subscriber::open(&server, &token, "").await);
        }
    }
    let refused = Subscriber::try_open(&server, &token, "").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let mut other = Subscriber::open(&server, &server.token(&theirs.name).await, "").await;
    server.events.publish(came(theirs.terminal));
    assert_eq!(other.event().await.0, "presence");
    open.pop();
    wait_for("the closed stream's place", async || {
        (Subscriber::try_open(&server, &token, "").await.status() == 200).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_the_right_to_see() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let manager = server.token(&tenant.name).await;
    let (role, account) = server.account(tenant.company, "watcher", &[Permission::View]).await;
    let token = server.token("watcher").await;
    let mut subscriber = Subscriber::open(&server, &token, "").await;
    patch(&server, &manager, &format!("/api/v1/roles/{role}"), json!({"permissions": []})).await;
    subscriber.assert_ends().await;
    patch(&server, &manager, &format!("/api/v1/roles/{role}"), json!({"permissions": ["view"]})).await;
    let mut subscriber = Subscriber::open(&server, &token, "").await;
    patch(&server, &manager, &format!("/api/v1/accounts/{account}"), json!({"enabled": false})).await;
    subscriber.assert_ends().await;
    server.stop().await;
}

#[tokio::test]
async fn a_comment_shows_that_the_stream_lives_and_the_servers_stop_ends_it() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    // `open` has read the first comment already.
    let mut subscriber = Subscriber::open(&server, &server.token(&tenant.name).await, "types=alarm").await;
    assert_eq!(subscriber.next().await, Some(Message::Comment("keep-alive".into())), "without any event");
    server.stop().await;
    subscriber.assert_ends().await;
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    for query in [
        "types=weather",
        "types=position,weather",
        "types=",
        "types=Position",
        "max_seconds=0",
        "max_seconds=86401",
        "max_seconds=x",
        "vehicle_id=x",
        "unknown=1",
    ] {
        let reply = Subscriber::try_open(&server, &token, query).await;
        assert_eq!(reply.status(), 400, "{query}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json", "{query}");
    }
    assert_eq!(Subscriber::try_open(&server, "x.y.z", "").await.status(), 401);
    server.stop().await;
}
