//! Terminals that are told to go to their gateway, and what they make of it.

use cluster::dispatch::Unfit;
use cluster::{LinkChange, LinkStamp};
use db::{DeviceProfileChange, NewDeviceProfile, ROOT_COMPANY, TerminalChange};
use model::{RedirectForm, Scope};

use crate::support::{Device, Gateway, SIM, World, answer, node, parameters, wait_for_count};

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_sent_to_its_gateway_and_goes() {
    let (_world, login, gateway, terminal) = World::small().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let redirect = device.receive().await.expect("where to go");
    let port = gateway.port().to_string();
    assert_eq!(parameters(&redirect), ["0", &code, "", "", "", "127.0.0.1", &port, "0", "2"]);
    device.send(0x0001, &answer(redirect.serial, 0x8105, 0)).await;
    drop(device);
    wait_for_count(&login, "gone", 1, |stats| stats.redirected).await;
    assert_eq!((login.stats().redirects, login.stats().spliced), (1, 0));

    let arrivals = login.arrivals();
    assert_eq!(login.control().awaited(), 1);
    let stamp = LinkStamp { epoch: Some(1), since_ms: 1 };
    arrivals.told(&node("gw1"), LinkChange { terminal, stamp, is_up: true, trace: None });
    assert_eq!(login.control().awaited(), 0);
    gateway.assert_quiet().await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_revoked_is_refused_as_soon_as_the_login_server_is_told() {
    let (world, login, _gateway, terminal) = World::small().await;
    let code = Device::connect(login.addr(), SIM).await.register("").await.expect("known");
    let change = TerminalChange { revoke_auth: true, ..TerminalChange::default() };
    world.database.db().change_terminal(&Scope::platform(), terminal, change).await.expect("revoked");
    assert_eq!(Device::connect(login.addr(), SIM).await.authenticate(&code).await, 0, "by memory");
    login.control().forget(terminal);
    assert_eq!(Device::connect(login.addr(), SIM).await.authenticate(&code).await, 1);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_is_written_as_the_setting_says() {
    for (form, expected) in [
        (RedirectForm::RawControl, &b"\x00;CODE;;;;127.0.0.1;PORT;0;7"[..]),
        (RedirectForm::RawWords, b"\x00;CODE;;;;127.0.0.1;\xff\xff;\x00\x00;\x00\x07"),
    ] {
        let (world, login, _gateway, _) = World::small_with(|settings| {
            settings.redirect_form = form;
            settings.redirect_limit_min = 7;
        })
        .await;
        world.fleet.put("gw1", 65_535, 0, None);
        let mut device = Device::connect(login.addr(), SIM).await;
        let code = device.register("").await.expect("known");
        assert_eq!(device.authenticate(&code).await, 0);
        let redirect = device.receive().await.expect("where to go");
        let mut said = redirect.body[1..].to_vec();
        for (real, shown) in [(code.as_bytes(), &b"CODE"[..]), (b"65535", b"PORT")] {
            if let Some(at) = said.windows(real.len()).position(|window| window == real) {
                said.splice(at..at + real.len(), shown.iter().copied());
            }
        }
        assert_eq!(said, expected, "{form:?}");
        login.shutdown().await;
    }
}

/// The profile counts before the setting, and what it says is read when the terminal registers.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_is_written_as_the_device_profile_says() {
    let (world, login, _gateway, terminal) =
        World::small_with(|settings| settings.redirect_form = RedirectForm::RawWords).await;
    let (db, all) = (world.database.db(), Scope::platform());
    let redirected = async || {
        let mut device = Device::connect(login.addr(), SIM).await;
        let code = device.register("").await.expect("known");
        assert_eq!(device.authenticate(&code).await, 0);
        let redirect = device.receive().await.expect("where to go").body;
        // Command, connection control, and the time limit of two minutes behind the last separator.
        (redirect[1], redirect[redirect.len() - 3..].to_vec())
    };
    assert_eq!(redirected().await, (0, b";\x00\x02".to_vec()), "by the setting");
    let new = NewDeviceProfile {
        company_id: ROOT_COMPANY,
        name: "a model".to_owned(),
        redirect_form: Some(RedirectForm::Text),
    };
    let profile = db.create_device_profile(&all, new).await.expect("made").id;
    let has = TerminalChange { device_profile_id: Some(Some(profile)), ..TerminalChange::default() };
    db.change_terminal(&all, terminal, has).await.expect("changed");
    assert_eq!(redirected().await, (b'0', b"0;2".to_vec()));
    let raw = DeviceProfileChange {
        redirect_form: Some(Some(RedirectForm::RawControl)),
        ..DeviceProfileChange::default()
    };
    db.change_device_profile(&all, profile, raw).await.expect("changed");
    assert_eq!(redirected().await, (0, b"0;2".to_vec()), "at the next registration");
    let none = DeviceProfileChange { redirect_form: Some(None), ..DeviceProfileChange::default() };
    db.change_device_profile(&all, profile, none).await.expect("changed");
    assert_eq!(redirected().await, (0, b";\x00\x02".to_vec()), "by the setting again");
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_did_not_get_in_is_sent_elsewhere_and_spliced_in_the_end() {
    let (world, login, gateway, _) = World::small().await;
    let other = Gateway::new().await;
    world.fleet.put("gw2", other.port(), 10, None);
    let mut ports = Vec::new();
    for _ in 0..2 {
        let mut device = Device::connect(login.addr(), SIM).await;
        let code = device.register("").await.expect("known");
        assert_eq!(device.authenticate(&code).await, 0);
        let redirect = device.receive().await.expect("where to go");
        ports.push(parameters(&redirect)[6].clone());
        device.send(0x0001, &answer(redirect.serial, 0x8105, 0)).await;
        device.assert_alive().await;
    }
    assert_eq!(ports, [gateway.port().to_string(), other.port().to_string()]);
    // It reaches neither: the login server does.
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    device.send(0x0002, &[]).await;
    assert_eq!(link.receive().await.expect("a heartbeat").id, 0x0002);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_gets_no_terminal() {
    let (world, login, gateway, _) = World::small().await;
    let other = Gateway::new().await;
    world.fleet.put("gw1", gateway.port(), 0, Some(Unfit::Draining));
    world.fleet.put("gw2", other.port(), 900, None);
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let redirect = device.receive().await.expect("where to go");
    assert_eq!(parameters(&redirect)[6], other.port().to_string());
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_a_terminal_is_closed_unanswered_and_tries_again() {
    let (world, login, gateway, _) = World::small().await;
    world.fleet.put("gw1", gateway.port(), 0, Some(Unfit::Unseen));
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    device.send(0x0102, code.as_bytes()).await;
    assert_eq!(device.receive().await, None);
    wait_for_count(&login, "nowhere to go", 1, |stats| stats.no_gateway).await;
    world.fleet.put("gw1", gateway.port(), 0, None);
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    let redirect = device.receive().await.expect("where to go");
    assert_eq!(parameters(&redirect)[6], gateway.port().to_string());
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_unregisters_is_let_go_and_its_code_is_void() {
    let (_world, login, _gateway, _) = World::small().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    device.receive().await.expect("where to go");
    let serial = device.send(0x0003, &[]).await;
    assert_eq!(device.reply_to(serial).await, 0);
    device.assert_closed().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 1);
    login.shutdown().await;
}
