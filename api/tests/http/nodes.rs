//! Nodes: who sees them, what is told of them, and that a drain is not answered before it is recorded.

use chrono::{DateTime, TimeDelta};
use cluster::Role;
use db::{Change, NodeEventKind, NodeLife, Page, ROOT_COMPANY};
use model::{Permission, Scope};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Server, nodes::OURS};

/// Everything that can be asked of nodes.
const ASKED: [(Method, &str); 5] = [
    (Method::GET, "/nodes"),
    (Method::GET, "/nodes/gw1"),
    (Method::POST, "/nodes/gw1/drain"),
    (Method::POST, "/nodes/gw1/undrain"),
    (Method::GET, "/node-events"),
];

async fn ask(server: &Server, token: &str, method: Method, path: &str) -> Response {
    let request = server.request(method, &format!("/api/v1{path}")).bearer_auth(token);
    request.send().await.expect("a reply")
}

/// What stands at `path`.
async fn read(server: &Server, token: &str, path: &str) -> Value {
    let reply = ask(server, token, Method::GET, path).await;
    assert_eq!(reply.status(), 200, "{path}");
    reply.json().await.expect("JSON")
}

/// The token of somebody who may manage accounts, of the root company, and nothing else.
async fn operator(server: &Server) -> String {
    server.account(ROOT_COMPANY, "operator", &[Permission::ManageAccounts]).await;
    server.token("operator").await
}

/// What is recorded of nodes, the latest first.
async fn recorded(server: &Server) -> Vec<Change> {
    let changes = server.database.db().changes(&Scope::platform(), &Page::default()).await.expect("read");
    changes.items.into_iter().filter(|change| change.noun == "node").collect()
}

#[tokio::test]
async fn nodes_are_there_for_those_who_run_the_platform_only() {
    let server = Server::start().await;
    server.nodes.join("gw1", &[Role::Gateway]);
    let tenant = server.tenant("ours").await;
    let (theirs, ours) = (server.token(&tenant.name).await, operator(&server).await);
    for (method, path) in ASKED {
        let hidden = ask(&server, &theirs, method.clone(), path).await;
        assert_eq!(
            hidden.status(),
            404,
            "{method} {path} of somebody who may do everything in their company"
        );
        let shown = ask(&server, &ours, method.clone(), path).await;
        assert!(shown.status().is_success(), "{method} {path}: {}", shown.status());
    }
    let changes = recorded(&server).await;
    assert_eq!(changes.len(), 2, "the operator's only: {changes:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_node_is_shown_with_what_was_heard_of_it() {
    let server = Server::start().await;
    let token = operator(&server).await;
    for name in ["gw1", "gw2", "gw3"] {
        server.nodes.join(name, &[Role::Gateway]);
    }
    server.nodes.hear("gw1", -250, 0);
    server.nodes.hear("gw2", 10_001, 3);
    let away = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
    server.nodes.lose_etcd(Some(away));

    let cluster = read(&server, &token, "/nodes").await;
    assert_eq!(cluster["node"], OURS);
    assert_eq!(cluster["leader"], json!({"node": OURS, "epoch": 5}));
    assert_eq!(cluster["etcd_away_since"], "1970-01-01T01:00:00Z");
    let names: Vec<_> =
        cluster["nodes"].as_array().expect("nodes").iter().map(|node| &node["name"]).collect();
    assert_eq!(names, [OURS, "gw1", "gw2", "gw3"]);

    let gw1 = json!({
        "name": "gw1",
        "roles": ["gateway"],
        "version": "0.1.0",
        "started_at": "1970-01-01T00:00:00Z",
        "gateway": "*:6608",
        "media": null,
        "web": null,
        "terminals_max": 16_000,
        "leads": false,
        "draining": false,
        "seen": true,
        "sighting": {
            "missed": 0,
            "measured_at": "1970-01-01T00:00:01Z",
            "clock_offset_ms": -250,
            "clock_right": true,
            "draining": false,
            "load": {
                "terminals": 5_000,
                "viewers": 12,
                "cpu_permille": 250,
                "memory_bytes": 3,
                "memory_max_bytes": 4,
                "storage_bytes": 5,
                "storage_max_bytes": 6,
            },
        },
    });
    assert_eq!(read(&server, &token, "/nodes/gw1").await, gw1);
    let gw2 = read(&server, &token, "/nodes/gw2").await;
    assert_eq!((&gw2["seen"], &gw2["sighting"]["clock_right"]), (&json!(false), &json!(false)), "{gw2}");
    let gw3 = read(&server, &token, "/nodes/gw3").await;
    assert_eq!((&gw3["seen"], &gw3["sighting"]), (&json!(false), &Value::Null), "{gw3}");
    assert_eq!(read(&server, &token, &format!("/nodes/{OURS}")).await["leads"], true);
    for nobody in ["/nodes/gw9", "/nodes/GW1", "/nodes/..%2Fgw1"] {
        assert_eq!(ask(&server, &token, Method::GET, nobody).await.status(), 404, "{nobody}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_drain_is_recorded_and_one_that_is_refused_is_not() {
    let server = Server::start().await;
    let (_, account) = server.account(ROOT_COMPANY, "root", &Permission::ALL).await;
    let token = server.token("root").await;
    let drain = async |name: &str| ask(&server, &token, Method::POST, &format!("/nodes/{name}/drain")).await;

    let alone = drain(OURS).await;
    assert_eq!(alone.status(), 409);
    let alone: Value = alone.json().await.expect("a problem");
    assert!(alone["detail"].as_str().is_some_and(|detail| detail.contains("alone")), "{alone}");
    server.nodes.join("gw1", &[Role::Gateway]);
    assert_eq!(drain("gw9").await.status(), 404);
    server.nodes.lose_etcd(Some(DateTime::UNIX_EPOCH));
    let away = drain("gw1").await;
    assert_eq!(away.status(), 503);
    assert!(away.headers().contains_key("retry-after"));
    let away: Value = away.json().await.expect("a problem");
    assert_eq!(away["detail"], "etcd is away");
    assert!(recorded(&server).await.is_empty(), "what was not done is not recorded");

    server.nodes.lose_etcd(None);
    assert_eq!(drain("gw1").await.status(), 204);
    assert_eq!(read(&server, &token, "/nodes/gw1").await["draining"], true);
    let undrain = ask(&server, &token, Method::POST, "/nodes/gw1/undrain").await;
    assert_eq!(undrain.status(), 204);
    assert_eq!(read(&server, &token, "/nodes/gw1").await["draining"], false);
    let changes: Vec<_> = recorded(&server)
        .await
        .into_iter()
        .map(|change| (change.account_id, change.action, change.key))
        .collect();
    let of = |action: &str| (Some(account), action.to_owned(), "gw1".to_owned());
    assert_eq!(changes, [of("undrain"), of("drain")]);
    server.stop().await;
}

/// The database recorded it or not, and its reply was lost: the node drains, and asking again records it for sure.
#[tokio::test]
async fn a_drain_that_is_perhaps_not_recorded_is_not_answered_as_done() {
    let (server, switch) = Server::switched().await;
    let token = operator(&server).await;
    server.nodes.join("gw1", &[Role::Gateway]);
    switch.lose_commit_of("INSERT INTO audit");
    let reply = ask(&server, &token, Method::POST, "/nodes/gw1/drain").await;
    assert_eq!(reply.status(), 503);
    assert!(reply.headers().contains_key("retry-after"));
    assert_eq!(read(&server, &token, "/nodes/gw1").await["draining"], true);
    assert_eq!(ask(&server, &token, Method::POST, "/nodes/gw1/drain").await.status(), 204);
    assert!(!recorded(&server).await.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn what_happened_to_nodes_is_listed_in_pages_and_by_node() {
    let server = Server::start().await;
    let token = operator(&server).await;
    let db = server.database.db();
    for (node, kind, detail) in [
        ("gw1", NodeEventKind::Joined, ""),
        ("gw2", NodeEventKind::Joined, ""),
        ("gw1", NodeEventKind::Drained, "in 12 s"),
    ] {
        let life = NodeLife { node: node.to_owned(), incarnation: 1 };
        assert!(db.node_happened(7, &life, kind, detail).await.expect("written"));
    }
    let first = read(&server, &token, "/node-events?limit=2").await;
    let told = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items").iter();
        items.map(|item| format!("{} {}", item["node"], item["kind"]).replace('"', "")).collect()
    };
    assert_eq!(told(&first), ["gw1 drained", "gw2 joined"]);
    assert_eq!((&first["items"][0]["detail"], &first["items"][0]["epoch"]), (&json!("in 12 s"), &json!(7)));
    let cursor = first["next_cursor"].as_str().expect("there is one more");
    let last = read(&server, &token, &format!("/node-events?limit=2&cursor={cursor}")).await;
    assert_eq!((told(&last), &last["next_cursor"]), (vec!["gw1 joined".to_owned()], &Value::Null));
    assert_eq!(told(&read(&server, &token, "/node-events?node=gw2").await), ["gw2 joined"]);
    assert_eq!(told(&read(&server, &token, "/node-events?node=gone").await), [""; 0]);

    for (field, query) in
        [("node", "node=GW1"), ("node", "node="), ("limit", "limit=many"), ("colour", "colour=red")]
    {
        let reply = ask(&server, &token, Method::GET, &format!("/node-events?{query}")).await;
        assert_eq!(reply.status(), 400, "{query}");
        let problem: Value = reply.json().await.expect("a problem");
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem}");
    }
    let foreign = ask(&server, &token, Method::GET, "/node-events?cursor=7").await;
    assert_eq!(foreign.status(), 400);
    server.stop().await;
}
