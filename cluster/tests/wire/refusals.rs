//! Who is not let in, and which calls are not answered.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use cluster::{Authority, CLOCK_MAX_MS, CallError, Credentials, DIALECT, Issued, Role, Stamp};

use crate::support::{Impostor, Node, SOON, Stage, name, stamp, until};

/// gRPC's codes.
const OK: i32 = 0;
const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const UNAUTHENTICATED: i32 = 16;

async fn callee(stage: &Stage) -> Node {
    stage.node("gw1", &[Role::Gateway], |_| {}).await
}

/// What a process that shows `shown` and says that it is `api1` is answered; None where it does not get so far.
async fn answered(stage: &Stage, node: &Node, shown: Option<&Issued>) -> Option<i32> {
    let mut impostor = Impostor::connect(stage, &node.addr(), node.id(), shown).await.ok()?;
    let stamp = stamp("api1", node.id(), 1).to_string();
    Some(impostor.ask(Some(&stamp)).await.ok()?.0)
}

#[tokio::test]
async fn an_uncertified_process_is_refused() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let folder = tempfile::tempdir().expect("a folder");
    let now = Utc::now();
    let other = Authority::make(folder.path(), now, TimeDelta::days(1)).expect("an authority");
    let of_another = other.issue(&name("api1"), now, TimeDelta::days(1)).expect("a certificate");
    let own = stage.issue("api1", now, TimeDelta::days(1));

    assert_eq!(answered(&stage, &node, None).await, None, "no certificate");
    assert_eq!(answered(&stage, &node, Some(&of_another)).await, None, "of another authority");
    assert_eq!(answered(&stage, &node, Some(&own)).await, Some(OK));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let now = Utc::now();
    let expired = stage.issue("api1", now - TimeDelta::days(2), TimeDelta::days(1));
    assert_eq!(answered(&stage, &node, Some(&expired)).await, None);

    // Also where its connection was there before it ended.
    let ending = stage.issue("api1", now, TimeDelta::seconds(3));
    let mut impostor =
        Impostor::connect(&stage, &node.addr(), node.id(), Some(&ending)).await.expect("connected");
    let mut ask = async |number| {
        let stamp = stamp("api1", node.id(), number).to_string();
        impostor.ask(Some(&stamp)).await.expect("answered")
    };
    assert_eq!(ask(1).await.0, OK);
    let refused = tokio::time::timeout(SOON, async {
        for number in 2.. {
            let answer = ask(number).await;
            if answer.0 != OK {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!("there is always another number")
    });
    let (code, message) = refused.await.expect("soon");
    assert_eq!(code, PERMISSION_DENIED, "{message}");
}

#[tokio::test]
async fn a_node_cannot_speak_for_another() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let gw2 = stage.issue("gw2", Utc::now(), TimeDelta::days(1));
    assert_eq!(answered(&stage, &node, Some(&gw2)).await, Some(PERMISSION_DENIED));
}

#[tokio::test]
async fn nobody_answers_for_another_node() {
    let stage = Stage::new();
    let caller = stage.node("api1", &[Role::Api], |_| {}).await;
    let other = stage.node("gw2", &[Role::Gateway], |_| {}).await;
    // Where gw1 should be, gw2 listens.
    let mut info = other.info.clone();
    info.node = name("gw1");
    stage.join(info);
    let refused = caller.peers.peer(&name("gw1")).expect("a member").status().await;
    assert!(matches!(refused, Err(CallError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_replayed_call_is_refused() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let own = stage.issue("api1", Utc::now(), TimeDelta::days(1));
    let addr = node.addr();
    let connect = || Impostor::connect(&stage, &addr, node.id(), Some(&own));
    let (mut first, mut second) = (connect().await.expect("connected"), connect().await.expect("connected"));

    let call = stamp("api1", node.id(), 1).to_string();
    assert_eq!(first.ask(Some(&call)).await.expect("answered").0, OK);
    for again in [&mut first, &mut second] {
        let (code, message) = again.ask(Some(&call)).await.expect("answered");
        assert_eq!(code, ALREADY_EXISTS, "{message}");
    }
    let next = stamp("api1", node.id(), 2).to_string();
    assert_eq!(second.ask(Some(&next)).await.expect("answered").0, OK);
}

#[tokio::test]
async fn a_call_with_a_wrong_stamp_is_refused() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let own = stage.issue("api1", Utc::now(), TimeDelta::days(1));
    let mut impostor =
        Impostor::connect(&stage, &node.addr(), node.id(), Some(&own)).await.expect("connected");
    let right = stamp("api1", node.id(), 1);
    let late = Stamp { at_ms: right.at_ms - CLOCK_MAX_MS - 5_000, ..right.clone() };
    let astray = Stamp { to: name("gw2"), ..right.clone() };
    let foreign = right.to_string().replacen(&DIALECT.to_string(), &(DIALECT + 1).to_string(), 1);
    for (wrong, code, word) in [
        (late.to_string(), FAILED_PRECONDITION, "clock"),
        (astray.to_string(), FAILED_PRECONDITION, "addressee"),
        (foreign, FAILED_PRECONDITION, "dialect"),
        ("nonsense".to_owned(), UNAUTHENTICATED, "stamp"),
    ] {
        let (said, message) = impostor.ask(Some(&wrong)).await.expect("answered");
        assert_eq!(said, code, "{wrong}");
        assert!(message.starts_with(word), "{message}");
    }
    assert_eq!(impostor.ask(None).await.expect("answered").0, UNAUTHENTICATED);
    assert_eq!(impostor.ask(Some(&right.to_string())).await.expect("answered").0, OK);
}

#[tokio::test]
async fn a_connection_without_a_good_call_is_ended() {
    let stage = Stage::new();
    let node = callee(&stage).await;
    let own = stage.issue("api1", Utc::now(), TimeDelta::days(1));
    let (addr, mut connections) = (node.addr(), Vec::new());
    for _ in 0..3 {
        let connected = Impostor::connect(&stage, &addr, node.id(), Some(&own)).await;
        connections.push(connected.expect("connected"));
    }
    let [silent, refused, good] = connections.as_mut_slice() else { panic!("three") };
    assert_eq!(refused.ask(Some("nonsense")).await.expect("answered").0, UNAUTHENTICATED);
    let call = stamp("api1", node.id(), 1).to_string();
    assert_eq!(good.ask(Some(&call)).await.expect("answered").0, OK);
    until(|| silent.is_cut_off() && refused.is_cut_off()).await;
    let call = stamp("api1", node.id(), 2).to_string();
    assert_eq!(good.ask(Some(&call)).await.expect("answered").0, OK);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let stage = Stage::new();
    let folder = stage.certify("gw1");
    let credentials = Arc::new(Credentials::watch(name("gw1"), &folder).expect("credentials"));
    let before = credentials.server_config();
    // A half-written one is not taken, and does not keep the next one out.
    std::fs::write(folder.join(cluster::KEY_FILE), "half").expect("written");
    stage.certify("gw1");
    until(|| !Arc::ptr_eq(&before, &credentials.server_config())).await;
}
