//! What needs a disk that fails under a whole gateway, or a spool that another program wrote.

use std::sync::Arc;

use access::terminal::Admission;

use crate::disk::LocalDisk;
use crate::disk::faulty::FaultyDisk;
use crate::spool::{Record, Spool};
use crate::{Gateway, Trouble};

#[path = "../tests/tcp/support/mod.rs"]
mod support;

use support::{Device, World, location, wait_for, wait_for_trouble};

/// DESIGN rule 6.1: an fsync error ends acknowledging.
#[tokio::test(flavor = "multi_thread")]
async fn an_fsync_error_ends_acknowledging() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal("13900000012").await.id;
    let disk = Arc::new(FaultyDisk::default());
    let gateway = Gateway::start_on(Arc::clone(&disk) as _, world.settings.clone(), world.deps())
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
    let gateway = Gateway::start_on(Arc::clone(&disk) as _, world.settings.clone(), world.deps())
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
    gateway.shutdown().await;
}
