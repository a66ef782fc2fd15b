//! Which server a client or a device is sent to, and who is told.

use chrono::{DateTime, TimeDelta, Utc};
use cluster::{NodeId, Nodes as _, Role};
use db::ROOT_COMPANY;
use model::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

/// Status and body of the answer.
async fn ask(server: &Server, token: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = server.request(Method::POST, &format!("/api/v1{path}")).bearer_auth(token);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let reply = request.send().await.expect("a reply");
    (reply.status().as_u16(), reply.json().await.expect("JSON"))
}

fn expires(answer: &Value) -> DateTime<Utc> {
    answer["expires_at"].as_str().and_then(|time| time.parse().ok()).expect("a time")
}

/// Host, port and protocol.
fn address(answer: &Value) -> (&str, u64, &str) {
    let text = |name: &str| answer[name].as_str().expect("a text");
    (text("host"), answer["port"].as_u64().expect("a port"), text("protocol"))
}

#[tokio::test]
async fn a_client_is_sent_to_the_server_that_carries_least() {
    let server = Server::start().await;
    server.account(ROOT_COMPANY, "client", &[Permission::View]).await;
    let token = server.token("client").await;
    let client = async |role: &str| ask(&server, &token, "/dispatch", Some(json!({"role": role}))).await;

    let (status, problem) = client("media").await;
    assert_eq!((status, &problem["detail"]), (503, &json!("no media server is fit")));
    let (status, ours) = client("api").await;
    assert_eq!(status, 200, "{ours}");
    let own = ("127.0.0.1", u64::from(server.addr.port()), "http");
    assert_eq!(address(&ours), own, "where it was reached itself");
    let lasts = expires(&ours) - Utc::now();
    assert!(lasts > TimeDelta::zero() && lasts <= TimeDelta::seconds(30), "{lasts}");

    for (name, viewers, cpu_permille) in [("m1", 5, 200), ("m2", 3, 900), ("m3", 0, 0)] {
        server.nodes.join(name, &[Role::Media, Role::Api]);
        server.nodes.hear(name, 0, if name == "m3" { 3 } else { 0 });
        server.nodes.open(name, viewers, cpu_permille);
    }
    let mut hosts = Vec::new();
    for _ in 0..4 {
        let (status, sent) = client("media").await;
        assert_eq!(status, 200, "{sent}");
        assert_eq!((&sent["port"], &sent["protocol"]), (&json!(6604), &json!("http")));
        hosts.push(sent["host"].as_str().expect("a host").to_owned());
    }
    assert_eq!(
        hosts.iter().filter(|host| *host == "m2.example").count(),
        3,
        "{hosts:?}: m1 has five already"
    );
    // OURS has a load of 250, m1 of 200.
    assert_eq!(address(&client("api").await.1), ("m1.example", 8443, "https"));
    server.nodes.drain(&"m1".parse::<NodeId>().expect("a name")).await.expect("marked");
    assert_eq!(address(&client("api").await.1), own);
    assert_eq!(client("media").await.1["host"], "m2.example");

    for (body, field) in [(json!({}), None), (json!({"role": "gateway"}), Some("role"))] {
        let (status, problem) = ask(&server, &token, "/dispatch", Some(body)).await;
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (400, field), "{problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_device_is_sent_to_its_gateway_and_asking_again_tells_the_same() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let token = server.token(&ours.name).await;
    let path = format!("/terminals/{}/dispatch", ours.terminal);

    let (status, problem) = ask(&server, &token, &path, None).await;
    assert_eq!((status, &problem["detail"]), (503, &json!("no gateway is fit and has room")));
    for name in ["gw1", "gw2"] {
        server.nodes.join(name, &[Role::Gateway]);
        server.nodes.hear(name, 0, 0);
    }
    let (status, first) = ask(&server, &token, &path, None).await;
    assert_eq!(status, 200, "{first}");
    // Both advertise no host: the one by which the API was reached.
    assert_eq!(address(&first), ("127.0.0.1", 6608, "jt808"));
    assert_eq!(first["connected"], false);
    let lasts = expires(&first) - Utc::now();
    assert!(lasts > TimeDelta::zero() && lasts <= TimeDelta::seconds(30), "{lasts}");
    let (_, again) = ask(&server, &token, &path, None).await;
    assert!(
        (expires(&again) - expires(&first)).abs() < TimeDelta::seconds(1),
        "the place is kept, no longer"
    );

    server.nodes.hold(ours.terminal, "gw2");
    assert_eq!(ask(&server, &token, &path, None).await.1["connected"], true);
    server.nodes.drain(&"gw2".parse::<NodeId>().expect("a name")).await.expect("marked");
    assert_eq!(ask(&server, &token, &path, None).await.1["connected"], false, "to the other one");

    for nobody in [theirs.terminal.to_string(), "9007199254740990".to_owned()] {
        let (status, problem) = ask(&server, &token, &format!("/terminals/{nobody}/dispatch"), None).await;
        assert_eq!((status, &problem["detail"]), (404, &json!("no such terminal")), "{nobody}");
    }
    server.stop().await;
}
