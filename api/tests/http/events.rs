//! The event stream: what arrives, what never does, and what ends it.

use std::collections::BTreeSet;

use crate::support::drive::Drive;
use crate::support::sse::{Message, Subscriber};
use crate::support::{self, Server, Tenant, wait_for};
use chrono::{DateTime, TimeDelta, Utc};
use cluster::Events as _;
use db::{NewTerminal, NewVehicle, ROOT_COMPANY};
use model::{
    Alarm, AlarmChange, AlarmId, AlarmKind, Channel, Event, Permission, Position, Presence, Profile, Scope,
    StreamChange, StreamKey, TerminalId,
};
use reqwest::Method;
use serde_json::{Value, json};

fn time() -> DateTime<Utc> {
    "2026-11-22T10:00:00Z".parse().expect("a time")
}

fn alarm(terminal: TerminalId) -> Alarm {
    let kind = AlarmKind::from_name("overspeed").expect("a kind");
    Alarm {
        id: AlarmId::derive(terminal, kind, time()),
        terminal,
        kind,
        start: time(),
        end: Some(time() + TimeDelta::minutes(1)),
        confirmed: true,
        latitude: 31.2,
        longitude: 121.5,
        speed_kmh: 60.5,
    }
}

fn stream(terminal: TerminalId) -> StreamKey {
    StreamKey::live(terminal, Channel::new(1).expect("a channel"), Profile::Sub)
}

/// An event of every kind, and the kind's name, of which the position says all that one can.
fn of_every_kind(terminal: TerminalId) -> [(&'static str, Event); 4] {
    let position = Position {
        mileage_km: Some(12.5),
        fuel_l: Some(40.0),
        recorder_speed_kmh: Some(61.0),
        signal: Some(26),
        satellites: Some(14),
        ..support::position(terminal, time())
    };
    [
        ("position", Event::Position(position)),
        ("alarm", Event::Alarm { change: AlarmChange::Started, alarm: alarm(terminal) }),
        ("presence", came(terminal)),
        ("stream", Event::Stream { stream: stream(terminal), change: StreamChange::Live }),
    ]
}

/// Fails unless of events of every kind, of the tenant's terminal and of `others`, the tenant's alone arrive.
async fn assert_only(server: &Server, subscriber: &mut Subscriber, tenant: &Tenant, others: &[TerminalId]) {
    for (at, (kind, event)) in of_every_kind(tenant.terminal).into_iter().enumerate() {
        for other in others {
            server.events.publish(of_every_kind(*other)[at].1.clone());
        }
        // What came before it would arrive before it.
        server.events.publish(event);
        let (name, data) = subscriber.event().await;
        assert_eq!((name.as_str(), &data["vehicle_id"]), (kind, &json!(tenant.vehicle)), "{data}");
        let of_ours = [&data["terminal"], &data["alarm"]["terminal"]].contains(&&json!(tenant.terminal));
        assert!(of_ours || data["stream"] == json!(stream(tenant.terminal)), "{data}");
    }
}

/// Fails unless `object` has every field that the document requires of `schema`, and none that it does not know.
/// Of alternatives the one is meant whose `type` is `kind`.
fn assert_fields(document: &Value, schema: &Value, kind: &str, object: &Value) {
    let (mut required, mut known) = (BTreeSet::new(), BTreeSet::new());
    fields(document, schema, kind, &mut required, &mut known);
    let told: BTreeSet<String> = object.as_object().expect("an object").keys().cloned().collect();
    assert!(!required.is_empty() && required.is_subset(&told), "{kind}: {required:?} of {told:?}");
    assert!(told.is_subset(&known), "{kind}: {told:?} beyond {known:?}");
}

fn fields(
    document: &Value,
    schema: &Value,
    kind: &str,
    required: &mut BTreeSet<String>,
    known: &mut BTreeSet<String>,
) {
    if let Some(path) = schema["$ref"].as_str() {
        let named = document.pointer(path.trim_start_matches('#')).expect("a schema");
        return fields(document, named, kind, required, known);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields(document, part, kind, required, known);
    }
    for alternative in schema["oneOf"].as_array().into_iter().flatten() {
        let parts = alternative["allOf"].as_array().map_or(std::slice::from_ref(alternative), Vec::as_slice);
        if parts.iter().any(|part| part["properties"]["type"]["enum"] == json!([kind])) {
            fields(document, alternative, kind, required, known);
        }
    }
    let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.extend(names.map(str::to_owned));
    known.extend(schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys().cloned()));
}

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
async fn every_kind_of_event_arrives_by_its_name_with_the_fields_of_the_document() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let mut subscriber = Subscriber::open(&server, &server.token(&tenant.name).await, "").await;
    let (terminal, vehicle) = (tenant.terminal, tenant.vehicle);
    let document = include_str!("../../../openapi/v1.json");
    let document: Value = serde_json::from_str(document).expect("the document");
    let schema = &document["components"]["schemas"]["VehicleEvent"];
    for (kind, event) in of_every_kind(terminal) {
        server.events.publish(event);
        let (name, data) = subscriber.event().await;
        assert_eq!(
            (name.as_str(), &data["type"], &data["vehicle_id"]),
            (kind, &json!(kind), &json!(vehicle))
        );
        assert_fields(&document, schema, kind, &data);
    }
    for (change, name) in [
        (AlarmChange::Started, "started"),
        (AlarmChange::Ended, "ended"),
        (AlarmChange::Superseded, "superseded"),
    ] {
        server.events.publish(Event::Alarm { change, alarm: alarm(terminal) });
        let (_, data) = subscriber.event().await;
        let expected = json!({
            "type": "alarm", "change": name, "vehicle_id": vehicle,
            "alarm": {
                "id": alarm(terminal).id, "terminal": terminal, "kind": "overspeed", "start": "2026-11-22T10:00:00Z",
                "end": "2026-11-22T10:01:00Z", "confirmed": true, "latitude": 31.2, "longitude": 121.5,
                "speed_kmh": 60.5,
            },
        });
        assert_eq!(data, expected);
        assert_fields(&document, &document["components"]["schemas"]["Alarm"], "", &data["alarm"]);
    }
    for (change, name) in [
        (StreamChange::Live, "live"),
        (StreamChange::Recovering, "recovering"),
        (StreamChange::Ended, "ended"),
    ] {
        server.events.publish(Event::Stream { stream: stream(terminal), change });
        let (_, data) = subscriber.event().await;
        let stream = format!("live-{terminal}-1-sub");
        assert_eq!(data, json!({"type": "stream", "stream": stream, "change": name, "vehicle_id": vehicle}));
    }
    server.stop().await;
}

#[tokio::test]
async fn another_companys_events_never_arrive() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let token = server.token(&ours.name).await;
    let mut subscriber = Subscriber::open(&server, &token, "").await;
    // Nor do those of a terminal that nobody has.
    assert_only(&server, &mut subscriber, &ours, &[theirs.terminal, TerminalId(999_999)]).await;
    // Nor by asking for their vehicle by name.
    let query = format!("vehicle_id={}", theirs.vehicle);
    assert_eq!(Subscriber::try_open(&server, &token, &query).await.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_to_one_vehicle_gets_the_events_of_that_one_alone() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let (db, all) = (server.database.db(), Scope::platform());
    let other = NewVehicle { company_id: ours.company, plate: "ours-2".into(), plate_colour: 2 };
    let other = db.create_vehicle(&all, other).await.expect("a vehicle").id;
    let terminal = |sim: &str, vehicle_id| NewTerminal {
        sim: sim.parse().expect("a SIM"),
        device_no: None,
        vehicle_id,
        company_id: Some(ours.company),
    };
    let other = db.create_terminal(&all, terminal("13911111111", Some(other))).await.expect("a terminal").id;
    let loose = db.create_terminal(&all, terminal("13922222222", None)).await.expect("a terminal").id;
    let token = server.token(&ours.name).await;
    let mut subscriber = Subscriber::open(&server, &token, &format!("vehicle_id={}", ours.vehicle)).await;
    assert_only(&server, &mut subscriber, &ours, &[other, loose, theirs.terminal]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_subscriber_to_some_kinds_gets_no_others() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let token = server.token(&tenant.name).await;
    for types in ["alarm", "position", "presence", "stream", "alarm,stream", "position, presence"] {
        let query = format!("types={}", types.replace(' ', "%20"));
        let mut subscriber = Subscriber::open(&server, &token, &query).await;
        for _ in 0..2 {
            for (_, event) in of_every_kind(tenant.terminal) {
                server.events.publish(event);
            }
        }
        // In the order in which they happened, twice.
        let wanted: Vec<&str> = ["position", "alarm", "presence", "stream"]
            .into_iter()
            .filter(|kind| types.split(',').any(|wanted| wanted.trim() == *kind))
            .collect();
        for kind in wanted.iter().chain(&wanted) {
            assert_eq!(subscriber.event().await.0, *kind, "{types}");
        }
    }
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
