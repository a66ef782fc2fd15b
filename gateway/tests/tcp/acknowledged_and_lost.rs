//! DESIGN rule 6.1: what is acknowledged is safe, in the database or in the spool; what is not safe is not
//! acknowledged.

use crate::support::{Device, World, at, location, wait_for, wait_for_trouble};
use access::terminal::Admission;
use gateway::{Gateway, Trouble};
use model::TerminalId;

const SIM: &str = "13900000001";

/// The odometers of the stored positions, in which the tests count.
async fn numbers(world: &World, terminal: TerminalId) -> Vec<u32> {
    let mut numbers: Vec<u32> = world
        .track(terminal)
        .await
        .iter()
        .map(|position| (position.mileage_km.expect("with an odometer") * 10.0).round() as u32)
        .collect();
    numbers.sort_unstable();
    numbers
}

async fn away(world: &World, gateway: &Gateway, device: &mut Device, number: u32) {
    world.switch.off();
    device.report(&location(at(i64::from(number)), 0, number)).await;
    assert!(gateway.stats().database_away);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_and_lost() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    // A runtime of its own, which is dropped in mid-flight: as near to `kill -9` as one process gets.
    let doomed = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (settings, deps) = (world.settings.clone(), world.deps());
    let gateway = doomed
        .spawn(async move { Gateway::start(settings, deps).await.expect("starts") })
        .await
        .expect("runs");
    let mut device = Device::online(gateway.addr(), SIM).await;
    device.report(&location(at(1), 0, 1)).await;
    assert_eq!(numbers(&world, terminal).await, [1], "acknowledged after its commit");

    away(&world, &gateway, &mut device, 2).await;
    device.report(&location(at(3), 0, 3)).await;
    assert_eq!(gateway.stats().spooled, 2);
    assert_eq!(numbers(&world, terminal).await, [1]);
    doomed.shutdown_background();
    device.assert_closed().await;
    drop(gateway);

    // The tail is torn: the power went while a third record was being written, which nobody acknowledged.
    let spool = world.spool_files().pop().expect("a segment");
    let mut bytes = std::fs::read(&spool).expect("reads");
    let torn = bytes[..40].to_vec();
    bytes.extend_from_slice(&torn);
    std::fs::write(&spool, bytes).expect("torn");

    world.switch.on();
    let gateway = world.start().await;
    assert_eq!(gateway.stats().spool_cut_bytes, 40);
    let stored = wait_for("the spool to drain", async || {
        Some(numbers(&world, terminal).await).filter(|numbers| numbers.len() == 3)
    })
    .await;
    assert_eq!(stored, [1, 2, 3]);
    wait_for("the segment to go", async || world.spool_files().is_empty().then_some(())).await;

    // The terminal never heard of some of its acknowledgements and sends everything again.
    let mut device = Device::online(gateway.addr(), SIM).await;
    for number in 1..=4 {
        device.report(&location(at(i64::from(number)), 0, number)).await;
    }
    assert_eq!(numbers(&world, terminal).await, [1, 2, 3, 4]);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_acknowledges_nothing() {
    let mut world = World::new().await.admission(Admission::Known);
    world.settings.spool_bytes_max = 150;
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    away(&world, &gateway, &mut device, 1).await;
    device.report(&location(at(2), 0, 2)).await;
    device.send(0x0200, &location(at(3), 0, 3)).await;
    wait_for_trouble(&gateway, Trouble::SpoolFull, 1).await;
    device.assert_quiet().await;
    device.assert_alive().await;

    world.switch.on();
    wait_for("the spool to drain", async || (gateway.stats().drained == 2).then_some(())).await;
    device.report(&location(at(3), 0, 3)).await;
    assert_eq!(numbers(&world, terminal).await, [1, 2, 3]);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_go_on_while_a_long_outage_is_drained() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    away(&world, &gateway, &mut device, 0).await;
    for number in 1..150 {
        device.report(&location(at(i64::from(number)), 0, number)).await;
    }
    world.switch.on();
    for number in 150..300 {
        device.report(&location(at(i64::from(number)), 0, number)).await;
    }
    wait_for("the spool to drain", async || {
        let stats = gateway.stats();
        (stats.spool_bytes == 0 && stats.drained == stats.spooled).then_some(())
    })
    .await;
    assert_eq!(numbers(&world, terminal).await, (0..300).collect::<Vec<_>>());
    assert_eq!(gateway.stats().acknowledged, 300);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_stores_what_waits() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let serial = device.send(0x0200, &location(at(1), 0, 1)).await;
    assert_eq!(device.reply_to(serial).await, 0);
    gateway.shutdown().await;
    device.assert_closed().await;
    assert_eq!(numbers(&world, terminal).await, [1]);
    assert!(!world.read(terminal).await.online);
}
