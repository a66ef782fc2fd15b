//! The servers that terminals dial by themselves: asked of simulated terminals behind a real gateway, set there,
//! recorded; and every way in which that does not come about.

use std::sync::Arc;

use async_trait::async_trait;
use cluster::Terminals;
use db::Page;
use model::{Command, Permission, Reply, Scope, SendError, TerminalId, TerminalLink};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::drive::Drive;
use crate::support::{Server, Tenant, wait_for};

/// Status and body of the answer; a body that is none is null.
async fn ask(server: &Server, token: &str, of: &Tenant, change: Option<Value>) -> (u16, Value) {
    let path = format!("/api/v1/terminals/{}/servers", of.terminal);
    let request = match change {
        Some(change) => server.request(Method::PATCH, &path).json(&change),
        None => server.request(Method::GET, &path),
    };
    let reply = request.bearer_auth(token).send().await.expect("a reply");
    let status = reply.status().as_u16();
    (status, serde_json::from_str(&reply.text().await.expect("a body")).unwrap_or_default())
}

/// What is recorded of terminals' servers, the latest first.
async fn recorded(server: &Server) -> Vec<Value> {
    let changes = server.database.db().changes(&Scope::platform(), &Page::default()).await.expect("read");
    let changes = changes.items.into_iter().filter(|change| change.action == "set_servers");
    changes.map(|change| change.detail).collect()
}

/// Waits until the tenant's terminal is reached.
async fn reached(server: &Server, token: &str, tenant: &Tenant) {
    let reached = async || (ask(server, token, tenant, None).await.0 == 200).then_some(());
    wait_for("the terminal to answer", reached).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_of_each_edition_tells_and_takes_its_servers() {
    for edition in [2011, 2013, 2019] {
        let server = Server::start().await;
        let ours = server.tenant("ours").await;
        let token = server.token(&ours.name).await;
        let drive = Drive::start_as(&server, &[&ours], vec![edition]).await;
        server.terminals.send_through(drive.terminals());
        reached(&server, &token, &ours).await;

        let (_, own) = ask(&server, &token, &ours, None).await;
        assert_eq!(own["main"][0]["host"], "127.0.0.1", "{edition}: {own}");
        assert_eq!(own["backup"], json!([]), "{edition}");
        let port = own["main"][0]["port"].as_u64().expect("a port");
        let set = json!({
            "main": [{"host": "127.0.0.1", "port": port}], "backup": [{"host": "b.example", "port": port}],
        });
        assert_eq!(ask(&server, &token, &ours, Some(set.clone())).await, (204, Value::Null), "{edition}");
        assert_eq!(ask(&server, &token, &ours, None).await, (200, set.clone()), "{edition}");
        let recorded = recorded(&server).await;
        let [change] = recorded.as_slice() else { panic!("once: {recorded:?}") };
        assert_eq!((&change["main"], &change["backup"]), (&set["main"], &set["backup"]));
        assert_eq!(change["outcome"], "accepted");

        let several = json!({"main": [{"host": "a", "port": 1}, {"host": "b", "port": 2}]});
        let (status, problem) = ask(&server, &token, &ours, Some(several.clone())).await;
        if edition == 2019 {
            assert_eq!((status, problem), (204, Value::Null));
            assert_eq!(ask(&server, &token, &ours, None).await.1["main"], several["main"]);
        } else {
            let why = "the terminal cannot be told this: before JT/T 808-2019 it has one main server and one backup";
            assert_eq!((status, &problem["detail"]), (409, &json!(why)));
            assert_eq!(ask(&server, &token, &ours, None).await.1, set, "nothing was sent");
        }
        drive.stop().await;
        server.stop().await;
    }
}

#[tokio::test]
async fn who_may_not_and_what_does_not_fit_reaches_no_terminal() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    server.account(ours.company, "manager", &[Permission::View, Permission::ManageVehicles]).await;
    let (manager, token) = (server.token("manager").await, server.token(&ours.name).await);
    server.terminals.send_through(Arc::new(Answers(Ok(Reply::Accepted))));
    let set = json!({"main": [{"host": "a", "port": 1}]});
    assert_eq!(ask(&server, &manager, &ours, None).await.0, 403);
    assert_eq!(ask(&server, &manager, &ours, Some(set.clone())).await.0, 403);
    assert_eq!(ask(&server, &token, &theirs, None).await.0, 404);
    assert_eq!(ask(&server, &token, &theirs, Some(set)).await.0, 404);
    for (change, field) in [
        (json!({}), None),
        (json!({"main": []}), Some("main")),
        (json!({"main": [{"host": "a;b", "port": 1}]}), Some("main")),
        (json!({"main": [{"host": "::1", "port": 1}]}), Some("main")),
        (json!({"main": [{"host": "a", "port": 0}]}), Some("main")),
        (json!({"main": [{"host": "a", "port": 65_536}]}), Some("main")),
        (json!({"backup": vec![json!({"host": "a", "port": 1}); 5]}), Some("backup")),
        (json!({"main": [{"host": "a", "port": 1, "tls": true}]}), Some("main")),
        (json!({"apn": "internet"}), Some("apn")),
    ] {
        let (status, problem) = ask(&server, &token, &ours, Some(change.clone())).await;
        assert_eq!((status, problem["errors"][0]["field"].as_str()), (400, field), "{change}: {problem}");
    }
    assert!(recorded(&server).await.is_empty());
    server.stop().await;
}

/// Every command is answered like this.
struct Answers(Result<Reply, SendError>);

#[async_trait]
impl Terminals for Answers {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        Err(SendError::NotConnected(terminal))
    }
    async fn send(&self, _: TerminalId, _: Command) -> Result<Reply, SendError> {
        self.0.clone()
    }
    async fn disconnect(&self, _: TerminalId) {}
}

#[tokio::test]
async fn what_a_terminal_did_not_say_is_not_claimed() {
    let server = Server::start().await;
    let ours = server.tenant("ours").await;
    let (token, terminal) = (server.token(&ours.name).await, ours.terminal);
    let set = json!({"main": [{"host": "a", "port": 1}]});
    let refused = |result| SendError::Refused { terminal, result };
    let unsayable = SendError::Unsayable { terminal, reason: "it is too long".to_owned() };
    for (error, status, says, outcome) in [
        (SendError::NotConnected(terminal), 409, "not connected", None),
        (SendError::Busy(terminal), 503, "too many commands", None),
        (unsayable, 409, "it is too long", None),
        (refused(1), 409, "refused with result 1", Some("refused with result 1")),
        (refused(3), 409, "does not support", Some("refused with result 3")),
        (SendError::Timeout(terminal), 504, "did not answer", Some("unknown")),
        (SendError::Disconnected(terminal), 504, "link broke", Some("unknown")),
        (SendError::Unreadable(terminal), 409, "cannot be read", Some("unknown")),
    ] {
        let before = recorded(&server).await.len();
        server.terminals.send_through(Arc::new(Answers(Err(error.clone()))));
        for change in [None, Some(set.clone())] {
            let (told, problem) = ask(&server, &token, &ours, change).await;
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(told == status && detail.contains(says), "{error:?}: {told} {problem}");
        }
        let recorded = recorded(&server).await;
        let latest = recorded.first().filter(|_| recorded.len() > before);
        assert_eq!(latest.and_then(|change| change["outcome"].as_str()), outcome, "{error:?}");
    }
    server.stop().await;
}
