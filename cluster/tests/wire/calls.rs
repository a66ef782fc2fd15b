//! Calls that are answered once: each seam works across nodes as it does inside one.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cluster::trace::{Expects, Heralds as _, Traceparent, within};
use cluster::{
    Batch, CallError, Copies, CopyError, CopyMates, CopyPeer, Epoch, Fence, Incarnation, Leader, Media,
    MediaError, NodeId, Order, OrderError, Orders, RemoteCopies, RemoteHeralds, RemoteMedia, RemoteTerminals,
    RequestId, Role, Terminals,
};
use model::{Channel, Command, Profile, Reply, SendError, StreamKey, TerminalId, TerminalLink};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{Directory, Gateway, SOON, Stage, name};

fn start_live() -> Command {
    Command::StartLive {
        channel: Channel::new(1).expect("a channel"),
        profile: Profile::Main,
        host: Some("video.example".to_owned()),
        tcp_port: 6602,
    }
}

fn stream() -> StreamKey {
    "live-42-1-main".parse().expect("a stream")
}

#[tokio::test]
async fn a_command_goes_to_the_gateway_that_holds_its_terminal_and_its_answer_comes_back_as_it_is() {
    let stage = Stage::new();
    let answers = [
        Ok(Reply::Accepted),
        Err(SendError::NotConnected(TerminalId(2))),
        Err(SendError::Disconnected(TerminalId(3))),
        Err(SendError::Timeout(TerminalId(4))),
        Err(SendError::Refused { terminal: TerminalId(5), result: 3 }),
        Err(SendError::Busy(TerminalId(6))),
    ];
    let held = Gateway::holding((1..).zip(answers.clone()));
    let terminals = Arc::clone(&held);
    let _gw1 = stage.node("gw1", &[Role::Gateway], |served| served.terminals = Some(terminals)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let directory = Directory::of((1..=6).map(|terminal| (terminal, "gw1")));
    let remote = RemoteTerminals::new(None, directory, Arc::clone(&api1.peers));

    for (terminal, answer) in (1..).map(TerminalId).zip(answers) {
        assert_eq!(remote.send(terminal, start_live()).await, answer);
        assert!(held.told.lock().contains(&(terminal, Some(start_live()))));
    }
    let link = remote.link(TerminalId(1)).await.expect("held");
    assert_eq!((link.sim.as_str(), link.sim_bytes, link.av), ("13912345678", 6, None));
    assert_eq!(remote.link(TerminalId(9)).await, Err(SendError::NotConnected(TerminalId(9))));
}

#[tokio::test]
async fn a_terminal_of_this_node_is_asked_without_a_call() {
    let stage = Stage::new();
    let own = Gateway::holding([(1, Ok(Reply::Accepted))]);
    let gw1 = stage.node("gw1", &[Role::Gateway, Role::Api], |_| {}).await;
    let remote = RemoteTerminals::new(Some(own), Directory::of([(1, "gw1")]), Arc::clone(&gw1.peers));
    assert_eq!(remote.send(TerminalId(1), start_live()).await, Ok(Reply::Accepted));
}

#[tokio::test]
async fn a_terminal_that_moved_is_found_where_the_leader_says() {
    let stage = Stage::new();
    let (old, new) = (Gateway::holding([]), Gateway::holding([(1, Ok(Reply::Accepted))]));
    let _gw1 = stage.node("gw1", &[Role::Gateway], |served| served.terminals = Some(old)).await;
    let _gw2 = stage.node("gw2", &[Role::Gateway], |served| served.terminals = Some(new)).await;
    let known = Directory::of([(1, "gw2"), (2, "gw1")]);
    let login1 = stage.node("login1", &[Role::Login], |served| served.holders = Some(known)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let directory = Directory::of([(1, "gw1"), (2, "gw1")]);
    let remote = RemoteTerminals::new(None, Arc::clone(&directory) as _, Arc::clone(&api1.peers));

    let not_connected = Err(SendError::NotConnected(TerminalId(1)));
    assert_eq!(remote.send(TerminalId(1), start_live()).await, not_connected, "nobody leads");
    stage.views.send_modify(|view| {
        let (node, incarnation) = (login1.id().clone(), login1.info.incarnation);
        Arc::make_mut(view).leader = Some(Leader { node, incarnation, epoch: Epoch(1) });
    });
    directory.holders.lock().insert(TerminalId(1), name("gw1"));
    assert_eq!(remote.send(TerminalId(1), start_live()).await, Ok(Reply::Accepted));
    assert_eq!(remote.send(TerminalId(1), start_live()).await, Ok(Reply::Accepted), "now asked at once");
    assert!(remote.link(TerminalId(1)).await.is_ok());
    // The leader believes the same wrong thing: it is not asked there twice.
    assert_eq!(remote.link(TerminalId(2)).await, Err(SendError::NotConnected(TerminalId(2))));
    assert!(directory.holders.lock().is_empty());
}

#[tokio::test]
async fn every_gateway_and_login_server_hears_of_a_disconnect_once() {
    let stage = Stage::new();
    let [own, one, other, door] = [(); 4].map(|()| Gateway::holding([]));
    let (first, second, third) = (Arc::clone(&one), Arc::clone(&other), Arc::clone(&door));
    let _gw1 = stage.node("gw1", &[Role::Gateway], |served| served.terminals = Some(first)).await;
    let roles = [Role::Login, Role::Gateway];
    let _gw2 = stage.node("gw2", &roles, |served| served.terminals = Some(second)).await;
    let _login1 = stage.node("login1", &[Role::Login], |served| served.terminals = Some(third)).await;
    let both = stage.node("both1", &[Role::Gateway, Role::Api], |_| {}).await;
    let remote =
        RemoteTerminals::new(Some(Arc::clone(&own) as _), Directory::of([]), Arc::clone(&both.peers));
    remote.disconnect(TerminalId(8)).await;
    for told in [own, one, other, door] {
        assert_eq!(*told.told.lock(), [(TerminalId(8), None)]);
    }
}

/// For which request each terminal was asked about.
#[derive(Default)]
struct Askers(Mutex<Vec<(TerminalId, Option<RequestId>)>>);

#[async_trait]
impl Terminals for Askers {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        self.0.lock().push((terminal, RequestId::current()));
        Err(SendError::NotConnected(terminal))
    }

    async fn send(&self, terminal: TerminalId, _: Command) -> Result<Reply, SendError> {
        Err(SendError::NotConnected(terminal))
    }

    async fn disconnect(&self, _: TerminalId) {}
}

#[tokio::test]
async fn a_request_is_known_on_the_nodes_that_are_asked_for_it() {
    let stage = Stage::new();
    let askers = Arc::new(Askers::default());
    let terminals = Arc::clone(&askers);
    let gw1 = stage.node("gw1", &[Role::Gateway], |served| served.terminals = Some(terminals)).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let peer = api1.peers.peer(gw1.id()).expect("a member");
    let id: RequestId = "7d1f0f0e-6a2c-4c4e-9a53-0d9c4e3f2b11".parse().expect("an id");
    for (terminal, request) in [(1, Some(id.clone())), (2, None)] {
        let asked = peer.link(TerminalId(terminal));
        let answer = match request {
            Some(id) => id.scope(asked).await,
            None => asked.await,
        };
        assert!(answer.expect("answered").is_err());
    }
    assert_eq!(*askers.0.lock(), [(TerminalId(1), Some(id)), (TerminalId(2), None)]);
}

struct Pictures(Result<Vec<u8>, MediaError>);

#[async_trait]
impl Media for Pictures {
    async fn snapshot(&self, _: StreamKey) -> Result<Vec<u8>, MediaError> {
        self.0.clone()
    }
}

#[tokio::test]
async fn a_picture_comes_from_the_media_server_that_runs_the_stream() {
    let jpeg: Vec<u8> = (0..3 << 20).map(|byte: u32| byte.to_le_bytes()[0]).collect();
    let not_running = || Err(MediaError::NotRunning(stream()));
    for answer in [Ok(jpeg), Err(MediaError::Busy), Err(MediaError::NoPicture(stream())), not_running()] {
        let stage = Stage::new();
        let runs = Arc::new(Pictures(answer.clone()));
        let idle = Arc::new(Pictures(not_running()));
        let _m1 = stage.node("m1", &[Role::Media], |served| served.media = Some(idle)).await;
        let _m2 = stage.node("m2", &[Role::Media], |served| served.media = Some(runs)).await;
        let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
        let own = Arc::new(Pictures(not_running()));
        let remote = RemoteMedia::new(Some(own), Arc::clone(&api1.peers));
        assert!(remote.snapshot(stream()).await == answer);
    }
}

#[derive(Default)]
struct Duties(Mutex<Vec<(Epoch, Order)>>);

#[async_trait]
impl Orders for Duties {
    async fn order(&self, epoch: Epoch, order: Order) -> Result<(), OrderError> {
        self.0.lock().push((epoch, order));
        Ok(())
    }
}

#[tokio::test]
async fn an_order_under_an_old_epoch_is_refused() {
    let stage = Stage::new();
    let (duties, shelf) = (Arc::new(Duties::default()), Arc::new(Shelf::default()));
    let fence = Fence::default();
    fence.heed(Epoch(5));
    let (orders, copies) = (Arc::clone(&duties), Arc::clone(&shelf));
    let gw1 = stage
        .node("gw1", &[Role::Gateway], |served| {
            served.fence = Arc::new(fence);
            served.orders = Some(orders);
            served.copies = Some(copies);
        })
        .await;
    let login1 = stage.node("login1", &[Role::Login], |_| {}).await;
    let peer = login1.peers.peer(gw1.id()).expect("a member");
    let remote = RemoteCopies::new(Arc::clone(&peer), Arc::clone(&login1.peers));
    let lead = |epoch| {
        stage.views.send_modify(|view| {
            let (node, incarnation) = (login1.id().clone(), login1.info.incarnation);
            Arc::make_mut(view).leader = Some(Leader { node, incarnation, epoch });
        });
    };
    let release = || Order::Release { terminals: 3 };

    let old = Err(OrderError::OldEpoch { seen: Epoch(5) });
    assert_eq!(peer.order(Epoch(4), release()).await.expect("answered"), old);
    assert_eq!(peer.order(Epoch(6), release()).await.expect("answered"), Ok(()));
    let old = Err(OrderError::OldEpoch { seen: Epoch(6) });
    assert_eq!(peer.order(Epoch(5), release()).await.expect("answered"), old);
    assert_eq!(*duties.0.lock(), [(Epoch(6), release())]);

    let gw9 = name("gw9");
    assert!(matches!(remote.adopt(&gw9).await, Err(CopyError::Unreachable(_))), "nobody leads");
    lead(Epoch(5));
    assert!(matches!(remote.adopt(&gw9).await, Err(CopyError::Unreachable(_))), "an old leader");
    assert!(shelf.adopted.lock().is_empty());
    lead(Epoch(6));
    assert_eq!(remote.adopt(&gw9).await, Ok(17));
    assert_eq!(*shelf.adopted.lock(), [gw9]);
}

#[derive(Default)]
struct Shelf {
    batches: Mutex<Vec<Batch>>,
    stored: Mutex<Vec<(NodeId, Incarnation, u64)>>,
    adopted: Mutex<Vec<NodeId>>,
}

#[async_trait]
impl Copies for Shelf {
    async fn keep(&self, batch: Batch) -> Result<(), CopyError> {
        match batch.number {
            8 => Err(CopyError::Gap { last: 6 }),
            9 => Err(CopyError::Full),
            _ => {
                self.batches.lock().push(batch);
                Ok(())
            }
        }
    }

    async fn stored(&self, origin: &NodeId, incarnation: Incarnation, upto: u64) -> Result<(), CopyError> {
        self.stored.lock().push((origin.clone(), incarnation, upto));
        Ok(())
    }

    async fn adopt(&self, origin: &NodeId) -> Result<u64, CopyError> {
        self.adopted.lock().push(origin.clone());
        Ok(17)
    }
}

#[tokio::test]
async fn a_batch_is_kept_byte_by_byte_and_for_its_origin_alone() {
    let stage = Stage::new();
    let shelf = Arc::new(Shelf::default());
    let copies = Arc::clone(&shelf);
    let gw2 = stage.node("gw2", &[Role::Gateway], |served| served.copies = Some(copies)).await;
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let mates = CopyMates::follow(Arc::clone(&gw1.peers)).peers();
    let mates: Vec<CopyPeer> = mates.borrow().clone().expect("a cluster");
    let [CopyPeer { node, copies }] = mates.as_slice() else { panic!("gw2 alone") };
    assert_eq!(node, gw2.id());
    let incarnation = Incarnation(0xfeed);
    let records = Bytes::from_iter((0..cluster::BATCH_BYTES_MAX).map(|byte| byte.to_le_bytes()[0]));
    let batch = |origin, number| Batch {
        origin: name(origin),
        incarnation,
        number,
        follows: Some(u64::MAX),
        records: records.clone(),
    };

    assert_eq!(copies.keep(batch("gw1", 1)).await, Ok(()));
    assert_eq!(copies.keep(batch("gw1", 8)).await, Err(CopyError::Gap { last: 6 }));
    assert_eq!(copies.keep(batch("gw1", 9)).await, Err(CopyError::Full));
    assert_eq!(copies.stored(&name("gw1"), incarnation, 1).await, Ok(()));
    let foreign = copies.keep(batch("gw3", 1)).await;
    assert!(matches!(foreign, Err(CopyError::Unreachable(_))), "{foreign:?}");
    let foreign = copies.stored(&name("gw3"), incarnation, 1).await;
    assert!(matches!(foreign, Err(CopyError::Unreachable(_))), "{foreign:?}");
    assert!(*shelf.batches.lock() == [batch("gw1", 1)]);
    assert_eq!(*shelf.stored.lock(), [(name("gw1"), incarnation, 1)]);
}

#[tokio::test]
async fn an_origin_may_have_its_own_copies_adopted_whoever_leads() {
    let stage = Stage::new();
    let shelf = Arc::new(Shelf::default());
    let (copies, fence) = (Arc::clone(&shelf), Arc::new(Fence::default()));
    fence.heed(Epoch(5));
    let gw2 = stage
        .node("gw2", &[Role::Gateway], |served| {
            served.copies = Some(copies);
            served.fence = fence;
        })
        .await;
    let gw1 = stage.node("gw1", &[Role::Gateway], |_| {}).await;
    let peer = gw1.peers.peer(gw2.id()).expect("a member");
    let remote = RemoteCopies::new(Arc::clone(&peer), Arc::clone(&gw1.peers));
    assert_eq!(remote.adopt(gw1.id()).await, Ok(17));
    let foreign = peer.adopt(Epoch::default(), name("gw3")).await.expect("answered");
    assert_eq!(foreign, Err(OrderError::OldEpoch { seen: Epoch(5) }));
    assert_eq!(*shelf.adopted.lock(), [name("gw1")]);
}

#[tokio::test]
async fn copies_go_around_and_to_no_gateway_that_drains() {
    let stage = Stage::new();
    let gateway = [Role::Gateway];
    let gw2 = stage.node("gw2", &gateway, |_| {}).await;
    let mates = CopyMates::follow(Arc::clone(&gw2.peers));
    let mut peers = mates.peers();
    let mut wait = async |expected: &[&str]| {
        let is_so = |mates: &Option<Vec<CopyPeer>>| {
            mates
                .as_ref()
                .is_some_and(|mates| mates.iter().map(|mate| mate.node.as_str()).eq(expected.iter().copied()))
        };
        timeout(SOON, peers.wait_for(is_so)).await.expect("soon").expect("no end");
    };
    wait(&[]).await;
    let mut nodes = Vec::new();
    for (node, roles) in [("gw1", &gateway), ("gw3", &gateway), ("gw4", &gateway), ("m1", &[Role::Media])] {
        nodes.push(stage.node(node, roles, |_| {}).await);
    }
    wait(&["gw3", "gw4", "gw1"]).await;
    stage.views.send_modify(|view| {
        let gw3 = Arc::make_mut(view).members.get_mut(&name("gw3"));
        gw3.expect("a member").is_draining = true;
    });
    wait(&["gw4", "gw1"]).await;
    stage.leave(&name("gw4"));
    wait(&["gw1"]).await;
}

#[tokio::test]
async fn what_a_node_has_not_is_said_clearly() {
    let stage = Stage::new();
    let gw1 = stage.node("gw1", &[], |_| {}).await;
    let api1 = stage.node("api1", &[Role::Api], |_| {}).await;
    let peer = api1.peers.peer(gw1.id()).expect("a member");
    let status = peer.status().await.expect("answered");
    assert_eq!((status.incarnation, status.load.terminals, status.epoch), (Incarnation(1), 7, Epoch(3)));

    let link = peer.link(TerminalId(1)).await.map(drop);
    let gateway = peer.gateway_of(TerminalId(1)).await.map(drop);
    let picture = peer.snapshot(stream()).await.map(drop);
    let order = peer.order(Epoch(1), Order::Release { terminals: 1 }).await.map(drop);
    let stored = peer.stored(name("api1"), Incarnation(1), 1).await.map(drop);
    for (answer, what) in [
        (link, "terminals"),
        (gateway, "directory of terminals"),
        (picture, "media server"),
        (order, "part that takes orders"),
        (stored, "room for copies"),
    ] {
        let error = answer.expect_err("not there");
        assert!(!error.is_in_doubt());
        assert_eq!(error.to_string(), format!("gw1 refused the call: this node has no {what}"));
    }
    assert!(matches!(api1.peers.peer(&name("gw7")), Err(CallError::NotMember(_))));
}

/// Passes on what it is told.
struct Door(mpsc::UnboundedSender<(TerminalId, Traceparent)>);

impl Expects for Door {
    fn expect(&self, terminal: TerminalId, context: Traceparent) {
        self.0.send((terminal, context)).expect("the test listens");
    }
}

#[tokio::test]
async fn a_call_carries_the_trace_that_it_is_a_part_of() {
    let stage = Stage::new();
    let (door, mut told) = mpsc::unbounded_channel();
    let door = Arc::new(Door(door));
    let gw1 = stage.node("gw1", &[Role::Gateway], |served| served.expects = Some(door)).await;
    let login1 = stage.node("login1", &[Role::Login], |_| {}).await;
    let context =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse::<Traceparent>().expect("one");
    let peer = login1.peers.peer(gw1.id()).expect("a member");
    within(Some(context), peer.expect(TerminalId(1))).await.expect("answered");
    assert_eq!(told.try_recv(), Ok((TerminalId(1), context)));
    peer.expect(TerminalId(2)).await.expect("answered");
    assert!(told.try_recv().is_err(), "a part of none");

    let heralds = RemoteHeralds::new(None, Arc::clone(&login1.peers));
    heralds.on_its_way(&name("gw2"), TerminalId(3), context);
    heralds.on_its_way(gw1.id(), TerminalId(4), context);
    let next = timeout(SOON, told.recv()).await.expect("soon");
    assert_eq!(next, Some((TerminalId(4), context)), "a gateway that is not there holds nobody up");
}
