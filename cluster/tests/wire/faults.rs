//! Nodes that are gone, that hang, and that say too much.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use cluster::{
    Advertise, BATCH_BYTES_MAX, Batch, CallError, ConnectError, Copies, CopyError, Incarnation, NodeId,
    NodeInfo, Peers, RemoteTerminals, Role, Terminals,
};
use model::{Channel, Command, Profile, SendError, TerminalId};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::{Directory, Impostor, Node, SOON, Stage, name, stamp};

fn stop_live() -> Command {
    Command::StopLive { channel: Channel::new(1).expect("a channel"), profile: Profile::Sub }
}

/// Makes `gw1` of the View another port than its own.
fn move_to(stage: &Stage, node: &Node, listener: &TcpListener) -> NodeInfo {
    let seams = listener.local_addr().expect("bound").to_string().parse::<Advertise>().expect("an address");
    let info = NodeInfo { seams, incarnation: Incarnation(99), ..node.info.clone() };
    stage.join(info.clone());
    info
}

fn terminals(peers: &Arc<Peers>) -> RemoteTerminals {
    RemoteTerminals::new(None, Directory::of([(1, "gw1")]), Arc::clone(peers))
}

#[tokio::test]
async fn a_gateway_that_is_gone_costs_no_doubt() {
    let stage = Stage::new();
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    move_to(&stage, &gw1, &listener);
    drop(listener);
    let gone = api1.peers.peer(gw1.id()).expect("a member").status().await;
    assert!(matches!(gone, Err(CallError::Unreachable { .. })), "{gone:?}");
    let sent = terminals(&api1.peers).send(TerminalId(1), stop_live()).await;
    assert_eq!(sent, Err(SendError::NotConnected(TerminalId(1))));
    stage.leave(gw1.id());
    let sent = terminals(&api1.peers).send(TerminalId(1), stop_live()).await;
    assert_eq!(sent, Err(SendError::NotConnected(TerminalId(1))));
}

#[tokio::test]
async fn a_node_that_accepts_and_says_nothing_costs_bounded_time() {
    let stage = Stage::new();
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    move_to(&stage, &gw1, &listener);
    let _silent = tokio::spawn(async move {
        let mut sockets: Vec<TcpStream> = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            sockets.push(socket);
        }
    });
    let peer = api1.peers.peer(gw1.id()).expect("a member");
    // Those who wait behind the first attempt do not wait for one each.
    let calls = futures_util::future::join_all((0..50).map(|_| peer.status()));
    for answer in timeout(SOON, calls).await.expect("soon") {
        let Err(CallError::Unreachable { source, .. }) = answer else { panic!("{answer:?}") };
        assert!(matches!(*source, ConnectError::Slow), "{source}");
    }
}

#[tokio::test]
async fn a_node_that_hangs_with_a_call_leaves_it_in_doubt_after_bounded_time() {
    let stage = Stage::new();
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    move_to(&stage, &gw1, &listener);
    let tls = TlsAcceptor::from(gw1.credentials.server_config());
    let hung = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.expect("called");
        let mut socket = tls.accept(socket).await.expect("a handshake");
        let mut read = [0; 1];
        socket.read_exact(&mut read).await.expect("said something");
        // As a stopped process does: the connection stays, and nothing is answered, not even a ping.
        std::future::pending::<()>().await;
    });
    let terminals = terminals(&api1.peers);
    let sent = timeout(SOON, terminals.send(TerminalId(1), stop_live())).await.expect("soon");
    assert_eq!(sent, Err(SendError::Disconnected(TerminalId(1))), "given up before the call's own limit");
    hung.abort();
}

struct Anything;

#[async_trait::async_trait]
impl Copies for Anything {
    async fn keep(&self, _: Batch) -> Result<(), CopyError> {
        Ok(())
    }

    async fn stored(&self, _: &NodeId, _: Incarnation, _: u64) -> Result<(), CopyError> {
        Ok(())
    }

    async fn adopt(&self, _: &NodeId) -> Result<u64, CopyError> {
        Ok(0)
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    const OUT_OF_RANGE: i32 = 11;
    let stage = Stage::new();
    let gw2 = stage.node("gw2", &[Role::Gateway], |served| served.copies = Some(Arc::new(Anything))).await;
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let peer = gw1.peers.peer(gw2.id()).expect("a member");
    let records = Bytes::from(vec![0; BATCH_BYTES_MAX + (1 << 20)]);
    let batch = Batch { origin: name("gw1"), incarnation: Incarnation(1), number: 1, follows: None, records };
    let kept = peer.keep(batch).await;
    assert!(matches!(kept, Err(CallError::Lost { .. })), "{kept:?}");
    assert!(peer.status().await.is_ok(), "the connection is as good as before");

    // By its length alone, before any of it is there.
    let own = stage.issue("gw1", Utc::now(), TimeDelta::days(1));
    let mut impostor = Impostor::connect(&stage, &gw2.addr(), gw2.id(), Some(&own)).await.expect("connected");
    for (number, method) in (1..).zip(["status", "keep", "events"]) {
        let stamp = stamp("gw1", gw2.id(), number).to_string();
        let (code, message) =
            impostor.call(method, Some(&stamp), b"\0\xff\xff\xff\xff{").await.expect("answered");
        assert_eq!(code, OUT_OF_RANGE, "{method}: {message}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    const INVALID_ARGUMENT: i32 = 3;
    const UNIMPLEMENTED: i32 = 12;
    let stage = Stage::new();
    let gw2 = stage.node("gw2", &[Role::Gateway], |served| served.copies = Some(Arc::new(Anything))).await;
    let own = stage.issue("gw1", Utc::now(), TimeDelta::days(1));
    let mut impostor = Impostor::connect(&stage, &gw2.addr(), gw2.id(), Some(&own)).await.expect("connected");
    let calls: [(&str, &'static [u8], i32); 5] = [
        ("status", b"\0\0\0\0\x01{", INVALID_ARGUMENT),
        ("keep", b"\0\0\0\0\x04\xff\xff\xff\xff", INVALID_ARGUMENT),
        ("keep", b"\0\0\0\0\0", INVALID_ARGUMENT),
        ("link", b"\0\0\0\0\x041e99", INVALID_ARGUMENT),
        ("cook", b"\0\0\0\0\x04null", UNIMPLEMENTED),
    ];
    for (number, (method, body, expected)) in (1..).zip(calls) {
        let stamp = stamp("gw1", gw2.id(), number).to_string();
        let (code, message) = impostor.call(method, Some(&stamp), body).await.expect("answered");
        assert_eq!(code, expected, "{method}: {message}");
    }
}
