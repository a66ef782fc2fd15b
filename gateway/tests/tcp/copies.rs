//! DESIGN rule 6.1 in a cluster: while the database is away, what is acknowledged lies on two disks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use access::terminal::Admission;
use async_trait::async_trait;
use cluster::{Batch, Copies, CopyError, CopyPeer, Incarnation, NodeId};
use gateway::{Gateway, Membership, Settings, Trouble, Unready};
use model::TerminalId;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::splice::NoSplices;
use crate::support::{Device, World, at, location, trouble, wait_for, wait_for_trouble};

const SIM: &str = "13900000021";

/// The way from one gateway to another, which a test may cut.
#[derive(Default)]
struct Way {
    to: Mutex<Option<Arc<dyn Copies>>>,
    is_silent: AtomicBool,
    kept: AtomicUsize,
}

impl Way {
    fn to(gateway: &Gateway) -> Arc<Self> {
        let way = Arc::new(Self::default());
        way.lead_to(gateway);
        way
    }

    fn lead_to(&self, gateway: &Gateway) {
        *self.to.lock() = gateway.copies();
    }

    fn cut(&self) {
        *self.to.lock() = None;
    }

    async fn there(&self) -> Result<Arc<dyn Copies>, CopyError> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending().await
        }
        self.to.lock().clone().ok_or_else(|| CopyError::Unreachable("it is cut".to_owned()))
    }
}

#[async_trait]
impl Copies for Way {
    async fn keep(&self, batch: Batch) -> Result<(), CopyError> {
        let kept = self.there().await?.keep(batch).await;
        self.kept.fetch_add(usize::from(kept.is_ok()), Ordering::SeqCst);
        kept
    }

    async fn stored(&self, origin: &NodeId, incarnation: Incarnation, upto: u64) -> Result<(), CopyError> {
        self.there().await?.stored(origin, incarnation, upto).await
    }

    async fn adopt(&self, origin: &NodeId) -> Result<u64, CopyError> {
        self.there().await?.adopt(origin).await
    }
}

fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

fn peer(name: &str, way: &Arc<Way>) -> CopyPeer {
    CopyPeer { node: node(name), copies: Arc::clone(way) as _ }
}

type Peers = watch::Sender<Option<Vec<CopyPeer>>>;

fn peers(peers: &[(&str, &Arc<Way>)]) -> Peers {
    watch::Sender::new(Some(peers.iter().map(|(name, way)| peer(name, way)).collect()))
}

fn settings(world: &World, name: &str) -> Settings {
    let spool_dir = world.folder.path().join(name);
    Settings { node: name.to_owned(), spool_dir, ..world.settings.clone() }
}

fn spool_dir(world: &World, name: &str) -> PathBuf {
    world.folder.path().join(name)
}

fn membership(name: &str, life: u64, peers: &Peers) -> Membership {
    Membership {
        node: node(name),
        incarnation: Incarnation(life),
        peers: peers.subscribe(),
        splices: Arc::new(NoSplices),
    }
}

async fn join(world: &World, name: &str, life: u64, peers: &Peers) -> Gateway {
    let membership = membership(name, life, peers);
    Gateway::join(settings(world, name), world.deps(), membership).await.expect("starts")
}

/// A gateway that only keeps copies.
async fn keeper(world: &World, name: &str) -> Gateway {
    join(world, name, 1, &peers(&[])).await
}

/// A gateway on a runtime of its own, which is dropped in mid-flight: as near to `kill -9` as one process gets.
struct Doomed {
    runtime: Runtime,
    gateway: Gateway,
}

impl Doomed {
    async fn join(world: &World, name: &str, life: u64, peers: &Peers) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (settings, deps) = (settings(world, name), world.deps());
        let membership = membership(name, life, peers);
        let start = async move { Gateway::join(settings, deps, membership).await.expect("starts") };
        let gateway = runtime.spawn(start).await.expect("runs");
        Self { runtime, gateway }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// The odometers of the stored positions, in which the tests count.
async fn numbers(world: &World, terminal: TerminalId) -> Vec<u32> {
    let track = world.track(terminal).await;
    let number = |km: Option<f64>| (km.expect("with an odometer") * 10.0).round() as u32;
    let mut numbers: Vec<u32> = track.iter().map(|position| number(position.mileage_km)).collect();
    numbers.sort_unstable();
    numbers
}

async fn report(device: &mut Device, number: u32) {
    device.report(&location(at(i64::from(number)), 0, number)).await;
}

async fn wait_for_numbers(world: &World, terminal: TerminalId, expected: &[u32]) {
    wait_for("what was acknowledged", async || {
        (numbers(world, terminal).await.len() >= expected.len()).then_some(())
    })
    .await;
    assert_eq!(numbers(world, terminal).await, expected);
}

/// Until nothing is kept at `gateway` any more.
async fn wait_until_forgotten(gateway: &Gateway) {
    wait_for("the copies to go", async || gateway.stats().copies.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_died_while_the_database_was_away_loses_nothing() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let b = keeper(&world, "gw-b").await;
    let a = Doomed::join(&world, "gw-a", 7, &peers(&[("gw-b", &Way::to(&b))])).await;
    let mut device = Device::online(a.gateway.addr(), SIM).await;
    report(&mut device, 1).await;
    assert!(b.stats().copies.is_empty(), "the database has it");
    world.switch.off();
    for number in 2..=20 {
        report(&mut device, number).await;
    }
    assert_eq!(a.gateway.stats().copied_to.as_deref(), Some("gw-b"));
    a.kill();
    device.assert_closed().await;
    std::fs::remove_dir_all(spool_dir(&world, "gw-a")).expect("its disk is lost");

    let copies = b.copies().expect("in a cluster");
    let of: Vec<_> = b.stats().copies.into_iter().map(|copy| copy.of).collect();
    assert_eq!(of, [gateway::CopyOf { origin: node("gw-a"), incarnation: Incarnation(7) }]);
    assert!(copies.adopt(&node("gw-a")).await.expect("begun") > 0);
    world.switch.on();
    wait_for_numbers(&world, terminal, &(1..=20).collect::<Vec<_>>()).await;
    wait_until_forgotten(&b).await;
    assert_eq!(copies.adopt(&node("gw-a")).await, Ok(0));
    drop(copies);
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_copy_lost_in_the_middle() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let (b, c) = (keeper(&world, "gw-b").await, keeper(&world, "gw-c").await);
    let (to_b, to_c) = (Way::to(&b), Way::to(&c));
    let a = Doomed::join(&world, "gw-a", 1, &peers(&[("gw-b", &to_b), ("gw-c", &to_c)])).await;
    let mut device = Device::online(a.gateway.addr(), SIM).await;
    world.switch.off();
    for number in 1..=30 {
        report(&mut device, number).await;
    }
    assert!(c.stats().copies.is_empty());
    to_b.cut();
    b.shutdown().await;
    std::fs::remove_dir_all(spool_dir(&world, "gw-b")).expect("its disk is lost");

    report(&mut device, 31).await;
    assert_eq!(trouble(&a.gateway, Trouble::PeerLost), 1);
    assert_eq!(a.gateway.stats().copied_to.as_deref(), Some("gw-c"));
    a.kill();
    std::fs::remove_dir_all(spool_dir(&world, "gw-a")).expect("its disk is lost too");
    c.copies().expect("in a cluster").adopt(&node("gw-a")).await.expect("begun");
    world.switch.on();
    wait_for_numbers(&world, terminal, &(1..=31).collect::<Vec<_>>()).await;
    c.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_gives_no_reply_and_the_terminal_keeps_its_copy() {
    let mut world = World::new().await.admission(Admission::Known);
    world.settings.spool_bytes_max = 150;
    let terminal = world.terminal(SIM).await.id;
    let b = keeper(&world, "gw-b").await;
    let a = join(&world, "gw-a", 1, &peers(&[("gw-b", &Way::to(&b))])).await;
    let mut device = Device::online(a.addr(), SIM).await;
    world.switch.off();
    report(&mut device, 1).await;
    report(&mut device, 2).await;
    device.send(0x0200, &location(at(3), 0, 3)).await;
    wait_for_trouble(&a, Trouble::SpoolFull, 1).await;
    device.assert_quiet().await;
    device.assert_alive().await;
    assert_eq!(
        a.control().ready(true),
        Err(Unready::SpoolFull),
        "whatever others found: it is away from here"
    );
    assert_eq!((a.stats().copied, b.stats().kept > 0), (2, true));
    world.switch.on();
    wait_for("the spool to drain", async || (a.stats().drained == 2).then_some(())).await;
    wait_for("the database to be there", async || a.control().ready(true).ok()).await;
    assert_eq!(a.control().ready(false), Ok(()), "there is room again");
    report(&mut device, 3).await;
    assert_eq!(numbers(&world, terminal).await, [1, 2, 3]);
    wait_until_forgotten(&b).await;
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_peer_gives_no_reply_and_one_with_room_does() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let small = Settings { copies_bytes_max: 150, ..settings(&world, "gw-b") };
    let b = Gateway::join(small, world.deps(), membership("gw-b", 1, &peers(&[]))).await.expect("starts");
    let c = keeper(&world, "gw-c").await;
    let (to_b, to_c) = (Way::to(&b), Way::to(&c));
    let peers = peers(&[("gw-b", &to_b)]);
    let a = join(&world, "gw-a", 1, &peers).await;
    let mut device = Device::online(a.addr(), SIM).await;
    world.switch.off();
    report(&mut device, 1).await;
    device.send(0x0200, &location(at(2), 0, 2)).await;
    wait_for_trouble(&a, Trouble::NotCopied, 1).await;
    assert_eq!(trouble(&a, Trouble::PeerFull), 1);
    device.assert_quiet().await;
    peers.send_replace(Some(vec![peer("gw-b", &to_b), peer("gw-c", &to_c)]));
    wait_for("the other peer", async || {
        let serial = device.send(0x0200, &location(at(2), 0, 2)).await;
        (device.receive_within(crate::support::QUIET).await?.body[..2] == serial.to_be_bytes()).then_some(())
    })
    .await;
    assert_eq!(a.stats().copied_to.as_deref(), Some("gw-c"));
    world.switch.on();
    wait_until_forgotten(&b).await;
    wait_until_forgotten(&c).await;
    for gateway in [a, b, c] {
        gateway.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_peer_there_is_no_reply_unless_the_node_is_alone() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let b = keeper(&world, "gw-b").await;
    let to_b = Way::to(&b);
    let peers = peers(&[]);
    let a = join(&world, "gw-a", 1, &peers).await;
    let mut device = Device::online(a.addr(), SIM).await;
    world.switch.off();
    for times in 1..=2 {
        device.send(0x0200, &location(at(1), 0, 1)).await;
        wait_for_trouble(&a, Trouble::NotCopied, times).await;
    }
    device.assert_quiet().await;
    assert_eq!(a.control().ready(true), Err(Unready::NoPeer));
    assert_eq!(a.stats().spool_bytes, 0, "what comes again and again does not fill the spool");
    peers.send_replace(Some(vec![peer("gw-b", &to_b)]));
    wait_for("the peer", async || {
        let serial = device.send(0x0200, &location(at(1), 0, 1)).await;
        (device.receive_within(crate::support::QUIET).await?.body[..2] == serial.to_be_bytes()).then_some(())
    })
    .await;
    assert_eq!(a.control().ready(false), Ok(()), "the database away, but a peer keeps a copy");
    peers.send_replace(None);
    to_b.cut();
    report(&mut device, 2).await;
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_slow_is_given_up_for_another_one() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let (b, c) = (keeper(&world, "gw-b").await, keeper(&world, "gw-c").await);
    let (to_b, to_c) = (Way::to(&b), Way::to(&c));
    let a = Doomed::join(&world, "gw-a", 1, &peers(&[("gw-b", &to_b), ("gw-c", &to_c)])).await;
    let mut device = Device::online(a.gateway.addr(), SIM).await;
    world.switch.off();
    report(&mut device, 1).await;
    to_b.is_silent.store(true, Ordering::SeqCst);
    report(&mut device, 2).await;
    assert_eq!(trouble(&a.gateway, Trouble::PeerLost), 1);
    a.kill();
    std::fs::remove_dir_all(spool_dir(&world, "gw-a")).expect("its disk is lost");
    c.copies().expect("in a cluster").adopt(&node("gw-a")).await.expect("begun");
    world.switch.on();
    wait_for_numbers(&world, terminal, &[1, 2]).await;
    b.shutdown().await;
    c.shutdown().await;
}

/// The former life's peer may be gone: what it acknowledged is on a second disk again before anything else is.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_life_copies_what_it_found_before_it_acknowledges() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let (b, c) = (keeper(&world, "gw-b").await, keeper(&world, "gw-c").await);
    let first = Doomed::join(&world, "gw-a", 1, &peers(&[("gw-b", &Way::to(&b))])).await;
    let mut device = Device::connect(first.gateway.addr(), SIM).await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    world.switch.off();
    report(&mut device, 1).await;
    report(&mut device, 2).await;
    first.kill();
    device.assert_closed().await;

    let second = Doomed::join(&world, "gw-a", 2, &peers(&[("gw-c", &Way::to(&c))])).await;
    let mut device = Device::connect(second.gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    report(&mut device, 3).await;
    second.kill();
    device.assert_closed().await;
    std::fs::remove_dir_all(spool_dir(&world, "gw-a")).expect("its disk is lost");
    c.copies().expect("in a cluster").adopt(&node("gw-a")).await.expect("begun");
    world.switch.on();
    wait_for_numbers(&world, terminal, &[1, 2, 3]).await;

    // It comes back on an empty disk: of what b has it cannot say that it is stored.
    let third = join(&world, "gw-a", 3, &peers(&[("gw-b", &Way::to(&b))])).await;
    let mut device = Device::connect(third.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    world.switch.off();
    report(&mut device, 4).await;
    world.switch.on();
    wait_for("its own copy to go", async || (b.stats().copies.len() == 1).then_some(())).await;
    assert_eq!(b.stats().copies[0].of.incarnation, Incarnation(1));
    for gateway in [third, b, c] {
        gateway.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_former_life_goes_when_its_spool_is_stored() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let b = keeper(&world, "gw-b").await;
    let to_b = Way::to(&b);
    let first = Doomed::join(&world, "gw-a", 1, &peers(&[("gw-b", &to_b)])).await;
    let mut device = Device::online(first.gateway.addr(), SIM).await;
    world.switch.off();
    report(&mut device, 1).await;
    first.kill();
    device.assert_closed().await;

    let peers = peers(&[]);
    let second = join(&world, "gw-a", 2, &peers).await;
    assert_eq!(b.stats().copies.len(), 1, "not before");
    world.switch.on();
    wait_for_numbers(&world, terminal, &[1]).await;
    wait_for("the spool to be empty", async || (second.stats().spool_bytes == 0).then_some(())).await;
    assert_eq!(b.stats().copies.len(), 1, "the peer was not there to be told");
    peers.send_replace(Some(vec![peer("gw-b", &to_b)]));
    wait_until_forgotten(&b).await;
    second.shutdown().await;
    b.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_again_goes_on_with_its_copy_or_gets_it_anew() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let mut b = keeper(&world, "gw-b").await;
    let to_b = Way::to(&b);
    let a = Doomed::join(&world, "gw-a", 1, &peers(&[("gw-b", &to_b)])).await;
    let mut device = Device::online(a.gateway.addr(), SIM).await;
    world.switch.off();
    report(&mut device, 1).await;
    for (number, keeps_its_disk) in [(2, true), (3, false)] {
        let kept = to_b.kept.load(Ordering::SeqCst);
        to_b.cut();
        // nobody asks it meanwhile
        b.shutdown().await;
        if !keeps_its_disk {
            std::fs::remove_dir_all(spool_dir(&world, "gw-b")).expect("its disk is lost");
        }
        b = keeper(&world, "gw-b").await;
        to_b.lead_to(&b);
        report(&mut device, number).await;
        let more = to_b.kept.load(Ordering::SeqCst) - kept;
        assert_eq!(more, 1, "one batch: the new report, or all of them");
    }
    assert_eq!(trouble(&a.gateway, Trouble::PeerLost), 0);
    a.kill();
    std::fs::remove_dir_all(spool_dir(&world, "gw-a")).expect("its disk is lost");
    to_b.adopt(&node("gw-a")).await.expect("begun");
    world.switch.on();
    wait_for_numbers(&world, terminal, &[1, 2, 3]).await;
    to_b.cut();
    b.shutdown().await;
}
