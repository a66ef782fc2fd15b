//! The latest-status table behind `/positions/latest`: filled, fed, filtered, paged, and put right when events
//! were missed.

use crate::support::cmsv6::{call, session};
use crate::support::sse::Subscriber;
use crate::support::{Server, Tenant, wait_for};
use chrono::{TimeDelta, Utc};
use cluster::Events as _;
use db::ROOT_COMPANY;
use model::{Event, Permission, Position, Presence, Profile, StreamChange, StreamKey, TerminalId};
use reqwest::Method;
use serde_json::{Value, json};

fn position(terminal: TerminalId, seconds_ago: i64) -> Position {
    let at = Utc::now() - TimeDelta::seconds(seconds_ago);
    Position { latitude: 31.0, longitude: 121.0, ..Position::blank(terminal, Some(at), at) }
}

async fn latest(server: &Server, token: &str, query: &str) -> Value {
    let request = server.request(Method::GET, &format!("/api/v1/positions/latest?{query}"));
    let reply = request.bearer_auth(token).send().await.expect("a reply");
    assert_eq!(reply.status(), 200, "{query}");
    reply.json().await.expect("JSON")
}

async fn terminals(server: &Server, token: &str, query: &str) -> Vec<i64> {
    let page = latest(server, token, query).await;
    page["items"].as_array().expect("items").iter().filter_map(|item| item["terminal_id"].as_i64()).collect()
}

/// An account above all companies.
async fn root(server: &Server) -> String {
    server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
    server.token("root").await
}

async fn patch(server: &Server, token: &str, path: &str, body: Value) {
    let request = server.request(Method::PATCH, path).bearer_auth(token).json(&body);
    let reply = request.send().await.expect("a reply");
    assert_eq!(reply.status(), 200, "{path}: {}", reply.text().await.unwrap_or_default());
}

fn of(tenant: &Tenant) -> i64 {
    tenant.terminal.0
}

#[tokio::test]
async fn what_happened_is_seen_without_the_database() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let (newest, late) = (position(tenant.terminal, 10), position(tenant.terminal, 600));
    server.events.publish(Event::Position(newest.clone()));
    server.events.publish(Event::Presence { terminal: tenant.terminal, presence: Presence::Online });
    // Neither is in the database: only the table can know of them.
    let row = wait_for("the event in the table", async || {
        let row = latest(&server, &token, "").await["items"][0].clone();
        (row["online"] == true && row["position"] != Value::Null).then_some(row)
    })
    .await;
    assert_eq!(row["position"], serde_json::to_value(&newest).expect("JSON"));
    assert_eq!((&row["plate"], &row["device_no"]), (&json!(tenant.plate), &json!(tenant.device_no)));
    // A late one changes nothing; the presence behind it in the queue says that it was taken in.
    server.events.publish(Event::Position(Position { received_at: Utc::now(), ..late }));
    server.events.publish(Event::Presence { terminal: tenant.terminal, presence: Presence::Offline });
    let row = wait_for("the terminal offline", async || {
        let row = latest(&server, &token, "").await["items"][0].clone();
        (row["online"] == false).then_some(row)
    })
    .await;
    assert_eq!(row["position"], serde_json::to_value(&newest).expect("JSON"));
    server.stop().await;
}

#[tokio::test]
async fn missed_events_are_made_good_from_the_database() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    let online = async |wanted: bool| {
        wait_for("another presence", async || {
            (latest(&server, &token, "").await["items"][0]["online"] == wanted).then_some(())
        })
        .await;
    };
    // The database does not know of it, and for a minute the event is believed all the same.
    server.events.publish(Event::Presence { terminal: tenant.terminal, presence: Presence::Online });
    online(true).await;
    // This thread runs the table's tasks too: while it publishes, they fall behind.
    let channel = "1".parse().expect("a channel");
    let stream = StreamKey::live(tenant.terminal, channel, Profile::Main);
    for _ in 0..20_000 {
        server.events.publish(Event::Stream { stream, change: StreamChange::Ended });
    }
    online(false).await;
    server.stop().await;
}

#[tokio::test]
async fn a_moved_vehicle_is_at_once_where_it_belongs() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let root = root(&server).await;
    let (us, them) = (server.token(&ours.name).await, server.token(&theirs.name).await);
    // The test made them behind the API's back: the next reading finds them.
    wait_for("ours", async || (terminals(&server, &us, "").await == [of(&ours)]).then_some(())).await;
    wait_for("theirs", async || (terminals(&server, &them, "").await == [of(&theirs)]).then_some(())).await;
    let body = json!({"company_id": theirs.company, "plate": "moved"});
    patch(&server, &root, &format!("/api/v1/vehicles/{}", ours.vehicle), body).await;
    assert_eq!(terminals(&server, &us, "").await, [] as [i64; 0]);
    assert_eq!(terminals(&server, &them, "").await, [of(&ours), of(&theirs)]);
    assert_eq!(latest(&server, &them, "").await["items"][0]["plate"], "moved");

    let path = format!("/api/v1/terminals/{}", ours.terminal);
    patch(&server, &root, &path, json!({"device_no": "another"})).await;
    assert_eq!(latest(&server, &them, "").await["items"][0]["device_no"], "another");
    let gone = server.request(Method::DELETE, &path).bearer_auth(&root).send().await.expect("a reply");
    assert_eq!(gone.status(), 204);
    assert_eq!(terminals(&server, &them, "").await, [of(&theirs)]);
    let body = json!({"sim": "13911111111", "company_id": theirs.company});
    let made = server.request(Method::POST, "/api/v1/terminals").bearer_auth(&root).json(&body);
    let made: Value = made.send().await.expect("a reply").json().await.expect("JSON");
    assert_eq!(terminals(&server, &them, "").await, [of(&theirs), made["id"].as_i64().expect("an id")]);
    server.stop().await;
}

#[tokio::test]
async fn a_terminal_that_was_changed_and_cannot_be_read_is_neither_shown_as_it_was_nor_gone() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let (us, them) = (server.token(&ours.name).await, server.token(&theirs.name).await);
    let session = session(&server, &ours.name).await;
    wait_for("ours", async || (terminals(&server, &us, "").await == [of(&ours)]).then_some(())).await;
    wait_for("theirs", async || (terminals(&server, &them, "").await == [of(&theirs)]).then_some(())).await;
    let body = json!({"sim": "13911111111", "company_id": ours.company});
    let made = server.request(Method::POST, "/api/v1/terminals").bearer_auth(&us).json(&body);
    let made: Value = made.send().await.expect("a reply").json().await.expect("JSON");
    let loose = TerminalId(made["id"].as_i64().expect("an id"));
    let mut subscriber = Subscriber::open(&server, &us, "").await;
    // What the table reads, and the change of a terminal that no vehicle carries does not.
    let held = server.database.hold("LOCK TABLE vehicle IN ACCESS EXCLUSIVE MODE");
    patch(&server, &us, &format!("/api/v1/terminals/{loose}"), json!({"device_no": "another"})).await;
    let refused = server.request(Method::GET, "/api/v1/positions/latest").bearer_auth(&us);
    assert_eq!(refused.send().await.expect("a reply").status(), 503);
    for number in ["13911111111", "another"] {
        let query = format!("jsession={session}&devIdno={number}");
        assert_eq!(call(&server, "getDeviceStatus", &query).await["result"], 6, "{number}");
    }
    assert_eq!(terminals(&server, &them, "").await, [of(&theirs)], "others know of no doubt");
    server.events.publish(Event::Presence { terminal: loose, presence: Presence::Online });
    assert_eq!(subscriber.event().await.0, "lagged", "not silence");
    drop(held);
    wait_for("the terminal as it is now", async || {
        let query = format!("jsession={session}&devIdno=another");
        (call(&server, "getDeviceStatus", &query).await["result"] == 0).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn latest_positions_are_paged_and_filtered_by_company() {
    let server = Server::start().await;
    let root = root(&server).await;
    let mut tenants = Vec::new();
    for name in ["a", "b", "c"] {
        tenants.push(server.tenant(name).await);
    }
    // The test made them behind the API's back: the next reading finds them.
    let all: Vec<i64> = tenants.iter().map(of).collect();
    wait_for("every terminal", async || (terminals(&server, &root, "").await == all).then_some(())).await;

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = latest(&server, &root, &format!("limit=2{cursor}")).await;
        seen.extend(
            page["items"].as_array().expect("items").iter().filter_map(|item| item["terminal_id"].as_i64()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, all);
    let wrong = server.request(Method::GET, "/api/v1/positions/latest?cursor=x").bearer_auth(&root);
    assert_eq!(wrong.send().await.expect("a reply").status(), 400);

    let [a, b, ..] = tenants.as_slice() else { panic!("three") };
    let under = async |company: &str| terminals(&server, &root, &format!("company_id={company}")).await;
    assert_eq!(under(&a.company.to_string()).await, [of(a)]);
    assert_eq!(under(&ROOT_COMPANY.to_string()).await, all);
    let status = async |token: &str, company: &str| {
        let path = format!("/api/v1/positions/latest?company_id={company}");
        let request = server.request(Method::GET, &path).bearer_auth(token);
        request.send().await.expect("a reply").status()
    };
    assert_eq!(status(&root, "999999").await, 404);
    // b below a, by the API: at once.
    patch(&server, &root, &format!("/api/v1/companies/{}", b.company), json!({"parent_id": a.company})).await;
    assert_eq!(under(&a.company.to_string()).await, [of(a), of(b)]);
    // A filter widens no scope: what lies above is not there.
    let token = server.token(&b.name).await;
    assert_eq!(status(&token, &a.company.to_string()).await, 404);
    assert_eq!(terminals(&server, &token, &format!("company_id={}", b.company)).await, [of(b)]);
    let request = server.request(Method::POST, "/api/v1/companies").bearer_auth(&root);
    let made =
        request.json(&json!({"parent_id": ROOT_COMPANY, "name": "empty"})).send().await.expect("a reply");
    let empty: Value = made.json().await.expect("JSON");
    assert_eq!(under(&empty["id"].to_string()).await, [] as [i64; 0]);
    server.stop().await;
}
