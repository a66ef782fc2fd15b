//! What an outage of the database leaves behind: who is online, what alarms are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::support::{Device, WITHIN, World, at, codes, location, wait_for};
use access::terminal::Admission;
use cluster::trace::Trace;
use cluster::{Bus, EventStream};
use futures_util::StreamExt as _;
use gateway::{Deps, Gateway};
use model::{Alarm, AlarmChange, Event, Scope};

const SIM: &str = "13900000013";

/// What is told of alarms until one ends.
async fn alarms_until_the_end(events: &mut EventStream) -> Vec<(AlarmChange, Alarm)> {
    let mut told = Vec::new();
    while told.last().is_none_or(|(change, _)| *change != AlarmChange::Ended) {
        let next = tokio::time::timeout(WITHIN, events.next()).await.expect("an event within the limit");
        if let Event::Alarm { change, alarm } = next.expect("an event").expect("in time") {
            told.push((change, alarm));
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_that_began_during_the_outage_begins_once() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    device.report(&location(at(1), 0, 1)).await;
    let mut events = world.events();
    world.switch.off();
    device.report(&location(at(2), 0b10, 2)).await;
    drop(device);

    // The database is back, and the terminal too, but what it sent meanwhile cannot be stored yet.
    let held = world.database.hold("SELECT FROM latest_position FOR UPDATE");
    world.switch.on();
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    wait_for("its session", async || (world.read(terminal).await.session_epoch == 2).then_some(())).await;
    device.report(&location(at(3), 0b10, 3)).await;
    assert_eq!(gateway.stats().spooled, 2);
    drop(held);
    wait_for("the spool to drain", async || (gateway.stats().drained == 2).then_some(())).await;
    device.report(&location(at(4), 0, 4)).await;

    let told = alarms_until_the_end(&mut events).await;
    let begins: BTreeSet<_> = told.iter().map(|(_, alarm)| (alarm.id, alarm.start)).collect();
    assert_eq!(begins.into_iter().map(|(_, start)| start).collect::<Vec<_>>(), [at(2)], "{told:?}");
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_and_never_told_is_told_when_it_comes_again() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    device.report(&location(at(0), 0, 0)).await;
    world.switch.off();
    device.report(&location(at(1), 0b10, 1)).await;
    device.report(&location(at(2), 0, 2)).await;

    // The same reports were committed, by somebody whose end came before the telling.
    let mut settings = world.settings.clone();
    settings.spool_dir = world.folder.path().join("other");
    settings.node = "other".to_owned();
    let db = world.database.db().clone();
    let deps = Deps { db, events: Arc::new(Bus::default()), codes: codes(), trace: Trace::off() };
    let other = Gateway::start(settings, deps).await.expect("starts");
    let mut again = Device::online(other.addr(), SIM).await;
    again.report(&location(at(1), 0b10, 1)).await;
    again.report(&location(at(2), 0, 2)).await;
    other.shutdown().await;

    let mut events = world.events();
    world.switch.on();
    let told = alarms_until_the_end(&mut events).await;
    assert!(told.iter().all(|(_, alarm)| alarm.terminal == terminal && alarm.confirmed));
    let changes: Vec<_> = told.iter().map(|(change, alarm)| (*change, alarm.start, alarm.end)).collect();
    assert_eq!(
        changes,
        [(AlarmChange::Started, at(1), Some(at(2))), (AlarmChange::Ended, at(1), Some(at(2)))]
    );
    let mut positions = BTreeSet::new();
    while positions.len() < 2 {
        let next = tokio::time::timeout(WITHIN, events.next()).await.expect("an event within the limit");
        if let Event::Position(position) = next.expect("an event").expect("in time") {
            positions.extend(position.device_time);
        }
    }
    assert_eq!(positions.into_iter().collect::<Vec<_>>(), [at(1), at(2)]);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_turned_out_is_offline() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    wait_for("it to be online", async || world.read(terminal).await.online.then_some(())).await;
    world.switch.off();
    device.report(&location(at(1), 0, 1)).await;

    let mut again = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(again.authenticate(&code).await, 0, "nobody can say that it is void");
    device.assert_closed().await;
    let change = db::TerminalChange { revoke_auth: true, ..db::TerminalChange::default() };
    world.database.db().change_terminal(&Scope::platform(), terminal, change).await.expect("revoked");
    world.switch.on();
    again.assert_closed().await;
    wait_for("it to be offline", async || (!world.read(terminal).await.online).then_some(())).await;
    gateway.shutdown().await;
}

/// The database cannot say whether it took a session's opening, and the terminal is gone when it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_whose_session_was_perhaps_opened_is_offline_in_the_end() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    drop(world.database.hold(
        // without the session's limit for locks: a commit that waits for a standby has none
        "CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS \
           'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER wait_at_commit AFTER UPDATE ON terminal DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW WHEN (NEW.online AND NOT OLD.online) EXECUTE FUNCTION wait_at_commit(); COMMIT",
    ));
    let held = world.database.hold("SELECT pg_advisory_xact_lock(42)");
    let device = Device::online(gateway.addr(), SIM).await;
    let waiting = |statement: &str| (world.database.waiting(statement) == 1).then_some(());
    wait_for("the commit to hang", async || waiting("COMMIT")).await;
    drop(device);
    wait_for("the gateway to close what may be open", async || waiting("SELECT FROM terminal")).await;
    drop(held);
    wait_for("it to be offline, having been online", async || {
        let terminal = world.read(terminal).await;
        (terminal.session_epoch == 1 && !terminal.online).then_some(())
    })
    .await;
    gateway.shutdown().await;
}
