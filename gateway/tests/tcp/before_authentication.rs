//! DESIGN rule 6.8: nothing before authentication.

use crate::support::{Device, World, location, trouble, wait_for, wait_for_trouble};
use access::terminal::Admission;
use futures_util::StreamExt as _;
use gateway::Trouble;
use model::{Event, Presence};

const SIM: &str = "13900000004";

#[tokio::test(flavor = "multi_thread")]
async fn anything_before_authentication() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let mut events = world.events();
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    device.send(0x0200, &location(chrono::Utc::now(), 1, 1)).await;
    device.send(0x0002, &[]).await;
    device.send(0x0003, &[]).await;
    device.send(0x0704, &[0, 0, 0]).await;
    wait_for_trouble(&gateway, Trouble::BeforeAuthentication, 4).await;
    device.assert_quiet().await;
    assert!(world.track(terminal).await.is_empty());
    let before = world.read(terminal).await;
    assert!(!before.online && before.session_epoch == 0);

    assert_eq!(device.authenticate("authentication").await, 1);
    device.send(0x0200, &location(chrono::Utc::now(), 1, 1)).await;
    wait_for_trouble(&gateway, Trouble::BeforeAuthentication, 5).await;
    assert_eq!(gateway.stats().received, 0);

    let code = device.register("").await.expect("registered");
    device.send(0x0200, &location(chrono::Utc::now(), 1, 1)).await;
    wait_for_trouble(&gateway, Trouble::BeforeAuthentication, 6).await;
    assert_eq!(device.authenticate(&code).await, 0);
    device.report(&location(chrono::Utc::now(), 0, 1)).await;
    assert_eq!(world.track(terminal).await.len(), 1);
    let first = events.next().await;
    assert_eq!(first, Some(Ok(Event::Presence { terminal, presence: Presence::Online })));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_replaces_the_first_only_after_its_own_authentication() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut first = Device::online(gateway.addr(), SIM).await;
    let epoch = world.read(terminal).await.session_epoch;

    let mut second = Device::connect(gateway.addr(), SIM).await;
    let code = second.register("").await.expect("registered");
    assert_eq!(second.authenticate("wrong").await, 1);
    first.assert_alive().await;
    first.report(&location(chrono::Utc::now(), 0, 1)).await;

    assert_eq!(second.authenticate(&code).await, 0);
    first.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::Replaced, 1).await;
    second.report(&location(chrono::Utc::now(), 0, 2)).await;
    let now = wait_for("the new session", async || {
        Some(world.read(terminal).await).filter(|terminal| terminal.session_epoch > epoch)
    })
    .await;
    assert!(now.online, "the end of the old link is no end of the terminal's");
    assert_eq!(gateway.stats().terminals, 1);

    drop(second);
    wait_for("the terminal to be offline", async || (!world.read(terminal).await.online).then_some(())).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_speaks_for_one_terminal_only() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let other = world.terminal("13900000005").await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let mut impostor = Device::connect(gateway.addr(), "13900000005").await;
    let (_, frame) = impostor.frame(0x0200, &location(chrono::Utc::now(), 0, 1));
    device.write(&frame).await;
    wait_for_trouble(&gateway, Trouble::ForeignSim, 1).await;
    device.assert_alive().await;
    assert!(world.track(other).await.is_empty());
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let mut world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    world.settings.connections_max = 2;
    let gateway = world.start().await;
    let mut online = Device::online(gateway.addr(), SIM).await;
    let mut stranger = Device::connect(gateway.addr(), SIM).await;
    stranger.assert_quiet().await;
    let mut third = Device::connect(gateway.addr(), SIM).await;
    third.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::ConnectionsFull, 1).await;
    online.assert_alive().await;
    stranger.assert_quiet().await;
    assert_eq!(gateway.stats().terminals, 1);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_bounded() {
    let mut world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    world.settings.unauthenticated_per_ip_max = 2;
    world.settings.unauthenticated_bytes_max = 1_000;
    world.settings.authenticate_within_s = 2;
    let gateway = world.start().await;

    let mut slow = Device::connect(gateway.addr(), SIM).await;
    let mut flood = Device::connect(gateway.addr(), SIM).await;
    slow.assert_quiet().await;
    let mut third = Device::connect(gateway.addr(), SIM).await;
    third.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AddressFull, 1).await;

    for _ in 0..70 {
        let (_, frame) = flood.frame(0x0002, &[]);
        flood.write(&frame).await;
        if trouble(&gateway, Trouble::AuthenticationFlood) > 0 {
            break;
        }
    }
    flood.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AuthenticationFlood, 1).await;

    let mut guesser = Device::connect(gateway.addr(), SIM).await;
    for _ in 0..10 {
        assert_eq!(guesser.authenticate("guess").await, 1);
    }
    guesser.send(0x0102, b"guess").await;
    guesser.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AuthenticationFlood, 2).await;

    slow.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AuthenticationLate, 1).await;
    gateway.shutdown().await;
}
