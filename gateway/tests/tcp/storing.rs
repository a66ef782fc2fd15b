//! What becomes of a terminal's report where storing is not as simple as a commit: DESIGN rules 6.2 and 6.4, seen
//! from the link.

use crate::support::{Device, World, at, location, trouble, wait_for, wait_for_trouble};
use access::terminal::Admission;
use futures_util::{FutureExt as _, StreamExt as _};
use gateway::Trouble;
use model::Event;

const SIM: &str = "13900000061";

/// The commit's reply is lost with the connection. The batch goes again: it is acknowledged, stored once, and the
/// alarm that began with it is told of, once.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_commit_taken_for_commit() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let mut events = world.events();
    world.switch.lose_commit_of("INSERT INTO position (terminal_id");
    device.report(&location(at(1), 0b1, 1)).await;
    assert_eq!(trouble(&gateway, Trouble::StoreRepeated), 1);
    assert!(!gateway.stats().database_away, "one lost reply is no outage");
    device.report(&location(at(2), 0b1, 2)).await;
    assert_eq!(world.track(terminal).await.len(), 2);
    assert!(world.spool_files().is_empty());

    let mut told = (0, 0);
    wait_for("both positions", async || {
        while let Some(Some(event)) = events.next().now_or_never() {
            match event.expect("not lagged") {
                Event::Position(_) => told.0 += 1,
                Event::Alarm { alarm, .. } if alarm.confirmed => told.1 += 1,
                _ => {}
            }
        }
        (told.0 >= 2).then_some(())
    })
    .await;
    assert_eq!(told, (2, 1), "two positions, one alarm that is stored");
    gateway.shutdown().await;
}

/// A row that the table refuses, though nothing here could foresee it, is put aside and acknowledged: the terminal
/// would send it for ever. What came with it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn poison_row_that_blocks_its_batch() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    drop(world.database.hold(
        "ALTER TABLE position ADD CONSTRAINT unforeseen CHECK (mileage_km NOT BETWEEN 66.5 AND 66.7); COMMIT",
    ));
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let mut serials = Vec::new();
    for number in [1, 666, 2, 3] {
        let second = i64::from(number % 60);
        serials.push(device.send(0x0200, &location(at(second), 0, number)).await);
    }
    for serial in serials {
        assert_eq!(device.reply_to(serial).await, 0);
    }
    assert_eq!(world.track(terminal).await.len(), 3);
    assert_eq!(gateway.stats().quarantined, 1);
    device.report(&location(at(4), 0, 4)).await;
    gateway.shutdown().await;
}

/// Neither the rows nor an outage are at fault. Nothing is acknowledged, nothing spooled, and the terminal sends it
/// again until somebody has mended the database.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_for_no_fault_of_the_rows_is_left_unanswered() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    drop(world.database.hold(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$; \
         CREATE TRIGGER broken BEFORE INSERT ON position FOR EACH STATEMENT EXECUTE FUNCTION broken(); COMMIT",
    ));
    device.send(0x0200, &location(at(1), 0, 1)).await;
    wait_for_trouble(&gateway, Trouble::StoreFailed, 1).await;
    device.assert_quiet().await;
    let stats = gateway.stats();
    assert!(!stats.database_away, "it answers");
    assert_eq!((stats.acknowledged, stats.spooled, stats.quarantined), (0, 0, 0));

    drop(world.database.hold("DROP TRIGGER broken ON position; COMMIT"));
    device.report(&location(at(1), 0, 1)).await;
    assert_eq!(world.track(terminal).await.len(), 1);
    gateway.shutdown().await;
}
