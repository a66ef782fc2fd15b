//! DESIGN rule 6.7: no terminal is locked out because the database is away.

use crate::support::{Device, World, codes, location, wait_for, wait_for_trouble};
use access::terminal::{Admission, Grant};
use gateway::Trouble;
use model::{Scope, TerminalId};

const SIM: &str = "13900000002";

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_locked_out_because_the_database_is_away() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let first = world.start().await;
    let code = Device::connect(first.addr(), SIM).await.register("").await.expect("registered");
    first.shutdown().await;

    // A gateway that never met the terminal, and cannot ask.
    world.switch.off();
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    device.report(&location(chrono::Utc::now(), 0, 1)).await;
    assert_eq!(gateway.stats().spooled, 1);

    let mut forger = Device::connect(gateway.addr(), "13900000003").await;
    assert_eq!(forger.authenticate(&code).await, 1, "the code of another SIM");
    let mut stranger = Device::connect(gateway.addr(), "13900000003").await;
    stranger.send(0x0100, &Device::registration("")).await;
    wait_for_trouble(&gateway, Trouble::AdmissionUnanswered, 1).await;
    stranger.assert_quiet().await;

    world.switch.on();
    wait_for("the terminal to be online", async || world.read(terminal).await.online.then_some(())).await;
    wait_for("the report to be stored", async || (world.track(terminal).await.len() == 1).then_some(()))
        .await;
    device.assert_alive().await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_code_lets_nobody_in_and_is_found_out_when_the_database_is_back() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let sim = SIM.parse().expect("a SIM");
    let code = codes().issue(&sim, Grant { terminal, revocations: 0 });
    let gone = codes().issue(&sim, Grant { terminal: TerminalId(999_999), revocations: 0 });
    let change = db::TerminalChange { revoke_auth: true, ..db::TerminalChange::default() };
    world.database.db().change_terminal(&Scope::platform(), terminal, change).await.expect("revoked");

    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 1, "revoked");
    assert_eq!(device.authenticate(&gone).await, 1, "of a terminal that is no more");
    let fresh = device.register("").await.expect("registering again gives a new code");
    assert_eq!(device.authenticate(&fresh).await, 0);
    gateway.shutdown().await;

    world.switch.off();
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0, "nobody can say that it is void");
    world.switch.on();
    device.assert_closed().await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_terminal_registers_again_without_the_database() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    world.switch.off();
    let code = device.register("").await.expect("from memory");
    drop(device);
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    gateway.shutdown().await;
}
