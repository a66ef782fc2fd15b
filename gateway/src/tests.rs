//! What needs a disk that fails under a whole gateway, or a spool that another program wrote.

use std::sync::Arc;

use access::terminal::Admission;
use cluster::{CopyPeer, Incarnation};
use tokio::sync::watch;

use crate::disk::LocalDisk;
use crate::disk::faulty::FaultyDisk;
use crate::link::Redirect;
use crate::spool::{Record, Spool};
use crate::{Gateway, Membership, Settings, Splices, Trouble};

#[path = "../tests/tcp/support/mod.rs"]
mod support;

use support::{Device, World, location, wait_for, wait_for_trouble};

/// DESIGN rule 6.1: an fsync error ends acknowledging.
#[tokio::test(flavor = "multi_thread")]
async fn an_fsync_error_ends_acknowledging() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal("13900000012").await.id;
    let disk = Arc::new(FaultyDisk::default());
    let gateway = Gateway::start_on(Arc::clone(&disk) as _, world.settings.clone(), world.deps(), None)
        .await
        .expect("starts");
    let mut device = Device::online(gateway.addr(), "13900000012").await;
    let at = |minute: i64| chrono::Utc::now() - chrono::TimeDelta::minutes(60 - minute);
    world.switch.off();
    device.report(&location(at(1), 0, 1)).await;
    disk.fail_sync();
    device.send(0x0200, &location(at(2), 0, 2)).await;
    wait_for_trouble(&gateway, Trouble::SpoolFailed, 1).await;
    disk.heal();
    device.send(0x0200, &location(at(3), 0, 3)).await;
    wait_for_trouble(&gateway, Trouble::SpoolFailed, 2).await;
    device.assert_quiet().await;
    assert!(gateway.stats().spool_failed);

    world.switch.on();
    wait_for("the database to be back", async || (!gateway.stats().database_away).then_some(())).await;
    device.report(&location(at(4), 0, 4)).await;
    wait_for("what was acknowledged", async || (world.track(terminal).await.len() >= 2).then_some(())).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_found_again_while_the_spool_cannot_be_read() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal("13900000012").await.id;
    let disk = Arc::new(FaultyDisk::default());
    let gateway = Gateway::start_on(Arc::clone(&disk) as _, world.settings.clone(), world.deps(), None)
        .await
        .expect("starts");
    let mut device = Device::online(gateway.addr(), "13900000012").await;
    let at = |minute: i64| chrono::Utc::now() - chrono::TimeDelta::minutes(60 - minute);
    // EMFILE: too many files are open in this process
    disk.fail_reads(usize::MAX, 24);
    world.switch.off();
    device.report(&location(at(1), 0, 1)).await;
    world.switch.on();
    wait_for("the database to be back", async || (!gateway.stats().database_away).then_some(())).await;
    device.report(&location(at(2), 0, 2)).await;
    assert_eq!(world.track(terminal).await.len(), 1, "the fresh one");
    disk.heal();
    wait_for("what lay in the spool", async || (world.track(terminal).await.len() == 2).then_some(())).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spooled_body_that_is_no_report_holds_up_no_other() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal("13900000012").await.id;
    let spool = Spool::open(&world.settings.spool_dir, 1 << 20, Arc::new(LocalDisk)).expect("opens");
    let received_at = chrono::Utc::now();
    let bodies = [vec![0; 3], location(received_at - chrono::TimeDelta::minutes(1), 0, 1)];
    let records = bodies.map(|body| Record { terminal, received_at, body: body.into() });
    spool.append(&records).await.expect("appended");
    drop(spool);
    let gateway = world.start().await;
    wait_for_trouble(&gateway, Trouble::SpooledInvalid, 1).await;
    wait_for("the other", async || (world.track(terminal).await.len() == 1).then_some(())).await;
    wait_for("the spool to be empty", async || world.spool_files().is_empty().then_some(())).await;
    assert_eq!(gateway.stats().quarantined, 1, "it was acknowledged: people may look at it");
    let kept = world.database.count("quarantine WHERE body = '\\x000000' AND reason LIKE '%no report%'");
    assert_eq!(kept, 1);
    gateway.shutdown().await;
}

/// At half of the limit a terminal is sent here anew, at the address that terminals must dial, with its code.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_renewed_at_half_of_its_limit() {
    let mut world = World::new().await.admission(Admission::Known);
    world.settings.redirect_limit_min = 20;
    world.settings.advertise = Some("gw1.example.org:7608".parse().expect("an address"));
    let terminal = world.terminal("13900000012").await.id;
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), "13900000012").await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    let link = gateway.gate.links.of(terminal).expect("a link");
    let ago = |minutes: u64| std::time::Instant::now() - std::time::Duration::from_secs(60 * minutes);
    *link.renewed_at.lock() = ago(9);
    assert!(device.receive_within(std::time::Duration::from_millis(1_500)).await.is_none(), "not yet");
    for (answer, redirect) in [(0, Redirect::Obeyed), (3, Redirect::Refused)] {
        *link.renewed_at.lock() = ago(10);
        let message = device.receive().await.expect("a message");
        let expected = format!("\u{2}0;{code};;;;gw1.example.org;7608;0;20");
        assert_eq!((message.id, &message.body[..]), (0x8105, expected.as_bytes()));
        let serial = message.serial.to_be_bytes();
        device.send(0x0001, &[serial[0], serial[1], 0x81, 0x05, answer]).await;
        wait_for("the answer", async || (link.redirect() == redirect).then_some(())).await;
    }
    gateway.shutdown().await;
}

/// Believes nobody.
struct NoSplices;

impl Splices for NoSplices {
    fn read(&self, _bytes: &[u8]) -> Result<Option<(std::net::SocketAddr, usize)>, String> {
        Err("nobody is believed".to_owned())
    }
}

/// The own disk does not give back what it took: the peer, which has it, stores it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_disk_does_not_give_back_is_stored_by_the_peer() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal("13900000012").await.id;
    let disk = Arc::new(FaultyDisk::default());
    let membership = |name: &str, peers: Vec<CopyPeer>| Membership {
        node: name.parse().expect("a name"),
        incarnation: Incarnation(1),
        peers: watch::channel(Some(peers)).1,
        splices: Arc::new(NoSplices),
    };
    let spool_dir = world.folder.path().join("gw-b");
    let settings = Settings { node: "gw-b".to_owned(), spool_dir, ..world.settings.clone() };
    let b = Gateway::join(settings, world.deps(), membership("gw-b", Vec::new())).await.expect("starts");
    let peer = CopyPeer { node: "gw-b".parse().expect("a name"), copies: b.copies().expect("a member") };
    let membership = membership("gw-a", vec![peer]);
    let a = Gateway::start_on(Arc::clone(&disk) as _, world.settings.clone(), world.deps(), Some(membership))
        .await
        .expect("starts");
    let mut device = Device::online(a.addr(), "13900000012").await;
    world.switch.off();
    device.report(&location(chrono::Utc::now() - chrono::TimeDelta::minutes(1), 0, 1)).await;
    // EIO, as often as it is asked.
    disk.fail_reads(usize::MAX, 5);
    wait_for("the segment to be put aside", async || (a.stats().spool_bytes == 0).then_some(())).await;
    assert_eq!(b.stats().copies.len(), 1, "it is not forgotten for that");
    world.switch.on();
    wait_for("the peer to store it", async || (world.track(terminal).await.len() == 1).then_some(())).await;
    wait_for("the copy to go", async || b.stats().copies.is_empty().then_some(())).await;
    a.shutdown().await;
    b.shutdown().await;
}
