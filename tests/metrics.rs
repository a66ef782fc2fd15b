//! Every node says what it counts to whoever scrapes it, and whether it lives and can serve; and to operators what it
//! carries.

mod support;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::operators::Operators;
use support::{Options, PASSWORD, Platform, wait_until};

/// How long a condition may take.
const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_what_the_roles_count() {
    let platform = Platform::start(Options::default());
    let get = async |path: &str| {
        let url = format!("http://{}{path}", platform.ready.metrics);
        support::http().get(url).send().await.expect("answered")
    };

    let reply = get("/metrics").await;
    assert_eq!(reply.status(), StatusCode::OK);
    let kind = reply.headers()["content-type"].to_str().expect("ASCII").to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = reply.text().await.expect("read");
    for line in [
        "# TYPE motorcade_gateway_reports_received counter",
        "motorcade_gateway_reports_received_total 0",
        "motorcade_gateway_terminals 0",
        "motorcade_gateway_reports_copied_total 0",
        "motorcade_gateway_reports_adopted_total 0",
        "motorcade_gateway_copies_kept_total 0",
        "motorcade_gateway_copies 0",
        "# TYPE motorcade_login_redirects counter",
        "motorcade_login_connections_total 0",
        "motorcade_login_splices 0",
        "motorcade_login_awaited 0",
        "motorcade_login_trouble_total{kind=\"no_gateway\"} 0",
        "motorcade_media_views_total 0",
        "motorcade_media_trouble_total{kind=\"views_refused\"} 0",
        "motorcade_database_ready 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert_eq!(text.matches("# TYPE motorcade_media_trouble ").count(), 1, "a family is described once");

    assert_eq!(get("/healthz").await.status(), StatusCode::OK);
    let ready = get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(ready.text().await.expect("read"), "login: ready\ngateway: ready\nmedia: ready\napi: ready\n");
    assert_eq!(get("/else").await.status(), StatusCode::NOT_FOUND);
    let url = format!("http://{}/metrics", platform.ready.metrics);
    let posted = support::http().post(url).send().await.expect("answered");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_says_whether_it_is_ready() {
    let mut database = Operators::new().await;
    let platform = Platform::start(Options::default().env("MOTORCADE__DATABASE__URL", &database.conninfo));
    let ready = async || {
        let url = format!("http://{}/readyz", platform.ready.metrics);
        let reply = support::http().get(url).send().await.expect("answered");
        (reply.status().as_u16(), reply.text().await.expect("read"))
    };
    wait_until("every role to be ready", WITHIN, async || (ready().await.0 == 200).then_some(())).await;
    database.goes().await;
    let (_, said) = wait_until("the database to be missed", WITHIN, async || {
        Some(ready().await).filter(|(status, _)| *status == 503)
    })
    .await;
    // people are not served; terminals are: what they report goes to the spool
    let all = "login: ready\ngateway: ready\nmedia: ready\napi: the database does not answer\n";
    assert_eq!(said, all);
    let url = format!("http://{}/healthz", platform.ready.metrics);
    let alive = support::http().get(url).send().await.expect("answered");
    assert_eq!(alive.status(), StatusCode::OK, "a process without its database is not to be killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_alone_tells_operators_what_it_carries() {
    let options = Options::default()
        .env("MOTORCADE__GATEWAY__ADMISSION", "open")
        .env("MOTORCADE__GATEWAY__CONNECTIONS_MAX", "40");
    let platform = Platform::start(options);
    let http = support::http();
    let login = json!({ "account": "admin", "password": PASSWORD });
    let login = http.post(platform.url("/api/v1/auth/login")).json(&login).send().await.expect("answered");
    let login: Value = login.json().await.expect("tokens");
    let token = login["access_token"].as_str().expect("a token");
    let read = async |path: &str| -> Value {
        let reply = http.get(platform.url(path)).bearer_auth(token).send().await.expect("answered");
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
        reply.json().await.expect("JSON")
    };

    let fleet = sim::Fleet::start(sim::Settings {
        gateway: platform.ready.gateway.to_string(),
        terminals: 3,
        ..sim::Settings::default()
    })
    .expect("the settings fit");
    let node = wait_until("three terminals", WITHIN, async || {
        let node = read("/api/v1/nodes/motorcade").await;
        (node["sighting"]["load"]["terminals"] == 3).then_some(node)
    })
    .await;
    assert_eq!(node["roles"], json!(["login", "gateway", "media", "api"]), "{node}");
    assert_eq!(
        (&node["seen"], &node["leads"], &node["draining"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert_eq!(node["terminals_max"], 40);
    assert_eq!(node["gateway"], format!("*:{}", platform.ready.gateway.port()));
    assert_eq!(node["media"], format!("*:{}", platform.ready.media.port()));
    let load = &node["sighting"]["load"];
    for (part, whole) in [("memory_bytes", "memory_max_bytes"), ("storage_bytes", "storage_max_bytes")] {
        let number = |field: &str| load[field].as_u64().expect("a number");
        assert!((1..=number(whole)).contains(&number(part)), "{part}: {load}");
    }

    let cluster = read("/api/v1/nodes").await;
    assert_eq!((&cluster["node"], &cluster["leader"]), (&json!("motorcade"), &Value::Null));
    assert_eq!(cluster["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(read("/api/v1/node-events").await["items"], json!([]));
    let drain = http.post(platform.url("/api/v1/nodes/motorcade/drain")).bearer_auth(token).send().await;
    assert_eq!(drain.expect("answered").status(), StatusCode::CONFLICT);
    fleet.stop().await.expect("the terminals stop");
}
