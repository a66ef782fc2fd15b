//! Terminals that a login server carries: whose address counts, and whose header is believed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access::terminal::Admission;
use cluster::Incarnation;
use gateway::{Gateway, Membership, Splices, Trouble};
use model::Scope;
use tokio::sync::watch;

use crate::support::{Device, World, location, wait_for_trouble};

const SIM: &str = "13900000023";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Believes nobody.
pub(crate) struct NoSplices;

impl Splices for NoSplices {
    fn read(&self, _bytes: &[u8]) -> Result<Option<(SocketAddr, usize)>, String> {
        Err("nobody is believed".to_owned())
    }
}

/// Believes the signature, `!`, and four bytes of an address; waits for nothing where something else follows.
struct Plain;

impl Splices for Plain {
    fn read(&self, bytes: &[u8]) -> Result<Option<(SocketAddr, usize)>, String> {
        match bytes.get(SIGNATURE.len()..) {
            None | Some([]) => Ok(None),
            Some([b'!', a, b, c, d, ..]) => Ok(Some((([*a, *b, *c, *d], 4000).into(), SIGNATURE.len() + 5))),
            Some([b'!' | b'?', ..]) => Ok(None),
            Some(_) => Err("forged".to_owned()),
        }
    }
}

fn header(address: [u8; 4]) -> Vec<u8> {
    [SIGNATURE, b"!", &address].concat()
}

async fn join(world: &World, splices: Arc<dyn Splices>) -> Gateway {
    let membership = Membership {
        node: "gw-a".parse().expect("a name"),
        incarnation: Incarnation(1),
        peers: watch::channel(None).1,
        splices,
    };
    Gateway::join(world.settings.clone(), world.deps(), membership).await.expect("starts")
}

/// The address of the terminal that waits for approval.
async fn pending_peer(world: &World) -> String {
    let page = db::Page::default();
    let pending = world.database.db().pending_terminals(&Scope::platform(), &page).await;
    pending.expect("a list").items[0].peer.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_carried_has_its_own_address() {
    let world = World::new().await.admission(Admission::Pending);
    let gateway = join(&world, Arc::new(Plain)).await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    for byte in header([192, 0, 2, 77]) {
        device.write(&[byte]).await;
    }
    assert_eq!(device.register("").await, Err(4));
    assert_eq!(pending_peer(&world).await, "192.0.2.77");

    // Header and first message in one piece.
    world.terminal("13900000024").await;
    let mut device = Device::connect(gateway.addr(), "13900000024").await;
    let (_, frame) = device.frame(0x0100, &Device::registration(""));
    device.write(&[header([192, 0, 2, 78]), frame].concat()).await;
    assert_eq!(device.receive().await.map(|answer| answer.id), Some(0x8100));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_terminals_are_bounded_by_their_own_address() {
    let mut world = World::new().await.admission(Admission::Pending);
    world.settings.unauthenticated_per_ip_max = 2;
    let gateway = join(&world, Arc::new(Plain)).await;
    let mut there = Vec::new();
    for last in 1..=6 {
        let mut device = Device::connect(gateway.addr(), SIM).await;
        device.write(&header([192, 0, 2, last])).await;
        assert_eq!(device.register("").await, Err(4), "each from another address");
        there.push(device);
    }
    for full in [false, true] {
        let mut device = Device::connect(gateway.addr(), SIM).await;
        device.write(&header([192, 0, 2, 1])).await;
        if full {
            device.assert_closed().await;
            wait_for_trouble(&gateway, Trouble::AddressFull, 1).await;
        } else {
            assert_eq!(device.register("").await, Err(4));
            there.push(device);
        }
    }
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_believed_closes_the_connection() {
    let world = World::new().await.admission(Admission::Known);
    let gateway = join(&world, Arc::new(Plain)).await;
    let too_long = [SIGNATURE, &[b'?'; 600]].concat();
    for (times, bytes) in (1..).zip([[SIGNATURE, b"forged"].concat(), too_long]) {
        let mut device = Device::connect(gateway.addr(), SIM).await;
        device.write(&bytes).await;
        device.assert_closed().await;
        wait_for_trouble(&gateway, Trouble::SpliceRefused, times).await;
    }
    // One that does not end in time.
    let mut device = Device::connect(gateway.addr(), SIM).await;
    device.write(&SIGNATURE[..5]).await;
    device.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::SpliceRefused, 3).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_dials_by_itself_is_met_as_ever() {
    let mut world = World::new().await.admission(Admission::Known);
    world.settings.authenticate_within_s = 3;
    world.terminal(SIM).await;
    let gateway = join(&world, Arc::new(Plain)).await;
    Device::online(gateway.addr(), SIM).await.report(&location(chrono::Utc::now(), 0, 1)).await;
    // Noise that begins as a header does is noise.
    let mut device = Device::connect(gateway.addr(), SIM).await;
    device.write(b"\r\n\r\n\r\n").await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    // Nothing at all.
    let mut silent = Device::connect(gateway.addr(), SIM).await;
    silent.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AuthenticationLate, 1).await;
    device.assert_alive().await;
    gateway.shutdown().await;
}

/// Without a cluster a header is noise: nobody may name another address.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_alone_believes_no_header() {
    let world = World::new().await.admission(Admission::Pending);
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    device.write(&header([192, 0, 2, 77])).await;
    assert_eq!(device.register("").await, Err(4));
    assert_eq!(pending_peer(&world).await, "127.0.0.1");
    assert!(device.receive_within(Duration::from_millis(1)).await.is_none());
    gateway.shutdown().await;
}
