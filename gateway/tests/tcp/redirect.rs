//! Terminals that are let go: told to go back to their own server, and closed if they do not.

use access::terminal::Admission;
use db::{NewDeviceProfile, ROOT_COMPANY, TerminalChange};
use model::{Channel, Command, Profile, RedirectForm, Reply, Scope};

use crate::support::{Device, World, at, location, wait_for};

const SIMS: [&str; 3] = ["13900000031", "13900000032", "13900000033"];
/// 0x8105, command 2, connection control 1.
const BACK: &[u8] = b"\x021";

/// The next message is the word to go; answers it with `result`.
async fn told_to_go(device: &mut Device, result: u8) {
    let message = device.receive().await.expect("a message");
    assert_eq!((message.id, &message.body[..]), (0x8105, BACK));
    let serial = message.serial.to_be_bytes();
    device.send(0x0001, &[serial[0], serial[1], 0x81, 0x05, result]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_waits_for_its_terminals_and_ends() {
    let world = World::new().await.admission(Admission::Known);
    for sim in SIMS {
        world.terminal(sim).await;
    }
    let gateway = world.start().await;
    gateway.control().drained().await;
    let mut obeys = Device::online(gateway.addr(), SIMS[0]).await;
    let mut refuses = Device::online(gateway.addr(), SIMS[1]).await;
    gateway.control().drain();
    told_to_go(&mut refuses, 3).await;
    refuses.assert_closed().await;
    told_to_go(&mut obeys, 0).await;
    let mut comes = Device::online(gateway.addr(), SIMS[2]).await;
    told_to_go(&mut comes, 0).await;
    obeys.assert_alive().await;
    drop(obeys);
    wait_for("the last one to be alone", async || (gateway.stats().terminals == 1).then_some(())).await;
    assert!(
        tokio::time::timeout(crate::support::QUIET, gateway.control().drained()).await.is_err(),
        "one that obeys is given time"
    );
    drop(comes);
    gateway.control().drained().await;

    gateway.control().undrain();
    let mut stays = Device::online(gateway.addr(), SIMS[0]).await;
    stays.assert_quiet().await;
    stays.assert_alive().await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_loses_no_command_under_way_and_no_report() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIMS[0]).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIMS[0]).await;
    let terminals = gateway.terminals();
    let stop = Command::StopLive { channel: Channel::new(2).expect("not 0"), profile: Profile::Main };
    let asked = tokio::spawn(async move { terminals.send(terminal, stop).await });
    let command = device.receive().await.expect("the command");
    assert_eq!(command.id, 0x9102);

    // Told to go while the command is open and a report is on its way: both are answered here.
    gateway.control().drain();
    let report = device.send(0x0200, &location(at(1), 0, 1)).await;
    let (mut is_told, mut is_answered) = (None, false);
    let [high, low] = command.serial.to_be_bytes();
    device.send(0x0001, &[high, low, 0x91, 0x02, 0]).await;
    while is_told.is_none() || !is_answered {
        let message = device.receive().await.expect("a message");
        match message.id {
            0x8105 => is_told = Some(message.serial),
            0x8001 => is_answered |= message.body[..2] == report.to_be_bytes(),
            other => panic!("{other:x}"),
        }
    }
    assert_eq!(asked.await.expect("asked"), Ok(Reply::Accepted));
    let [high, low] = is_told.unwrap_or_default().to_be_bytes();
    device.send(0x0001, &[high, low, 0x81, 0x05, 0]).await;
    drop(device);
    gateway.control().drained().await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_told_to_go_as_its_device_profile_says() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIMS[0]).await.id;
    let (db, all) = (world.database.db(), Scope::platform());
    let new = NewDeviceProfile {
        company_id: ROOT_COMPANY,
        name: "a model".to_owned(),
        redirect_form: Some(RedirectForm::RawWords),
    };
    let profile = db.create_device_profile(&all, new).await.expect("made").id;
    let has = TerminalChange { device_profile_id: Some(Some(profile)), ..TerminalChange::default() };
    db.change_terminal(&all, terminal, has).await.expect("changed");
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIMS[0]).await;
    gateway.control().drain();
    let message = device.receive().await.expect("a message");
    assert_eq!((message.id, &message.body[..]), (0x8105, &b"\x02\x01"[..]));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lets_so_many_go_and_no_more() {
    let world = World::new().await.admission(Admission::Known);
    for sim in SIMS {
        world.terminal(sim).await;
    }
    let gateway = world.start().await;
    let mut devices = Vec::new();
    for sim in SIMS {
        devices.push(Device::online(gateway.addr(), sim).await);
    }
    assert_eq!(gateway.control().release(1), 1);
    assert_eq!(gateway.control().release(1), 1, "another one");
    let mut told = 0;
    for device in &mut devices {
        if let Some(message) = device.receive_within(crate::support::QUIET).await {
            assert_eq!((message.id, &message.body[..]), (0x8105, BACK));
            told += 1;
        }
    }
    assert_eq!(told, 2);
    assert_eq!(gateway.control().release(9), 1, "there are no more");
    gateway.shutdown().await;
}
