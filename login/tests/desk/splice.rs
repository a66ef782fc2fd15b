//! Terminals that do not go to their gateway and are spliced through to it.

use cluster::LinkStamp;
use protocol::jt808::{Edition, Header, Phone, frame};
use tokio::net::TcpListener;

use crate::support::{Device, Gateway, Link, SIM, World, answer, node, wait_for_count};

/// The message and its whole frame as a terminal sends it.
fn report(number: u8) -> Vec<u8> {
    // Delimiters and escapes among its bytes.
    let mut body = vec![0x7e, 0x7d, number, 0x7d, 0x01];
    body.resize(28, number);
    body
}

/// Both ways, in order, nothing added.
async fn assert_through(device: &mut Device, link: &mut Link) {
    for number in 1..=3 {
        let serial = device.send(0x0200, &report(number)).await;
        let heard = link.receive().await.expect("the report");
        assert_eq!((heard.id, heard.serial, heard.body.as_ref()), (0x0200, serial, &report(number)[..]));
        link.reply(serial, 0x0200, 0).await;
        assert_eq!(device.reply_to(serial).await, 0);
    }
    link.send(0x8104, &[]).await;
    assert_eq!(device.receive().await.expect("the command").id, 0x8104);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_is_spliced_through_and_the_next_time_at_once() {
    let (_world, login, gateway, terminal) = World::small().await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    let authentication = device.send(0x0102, code.as_bytes()).await;
    assert_eq!(device.reply_to(authentication).await, 0);
    let redirect = device.receive().await.expect("where to go");
    device.send(0x0001, &answer(redirect.serial, 0x8105, 3)).await;

    let mut link = gateway.accept().await;
    assert_eq!((link.who.source, link.who.destination), (device.addr(), login.addr()));
    let heard = link.receive().await.expect("the authentication");
    assert_eq!((heard.id, heard.serial, heard.body.as_ref()), (0x0102, authentication, code.as_bytes()));
    link.reply(authentication, 0x0102, 0).await;
    assert_eq!(link.receive().await.expect("what it said since").id, 0x0001);
    // Its authentication was answered once: the next that it hears is the answer to its report.
    assert_through(&mut device, &mut link).await;
    assert_eq!((login.stats().redirect_refused, login.stats().splices), (1, 1));
    drop(device);
    link.assert_closed().await;
    wait_for_count(&login, "spliced", 0, |stats| stats.splices).await;

    login.arrivals().told_all(&node("gw1"), &[(terminal, LinkStamp { epoch: None, since_ms: 5 })]);
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    assert_through(&mut device, &mut link).await;
    assert_eq!((login.stats().redirects, login.stats().spliced), (1, 2));
    login.shutdown().await;
    device.assert_closed().await;
    link.assert_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ignores_it_is_spliced_through_with_what_it_said_meanwhile() {
    let (_world, login, gateway, _) =
        World::small_with(|settings| settings.redirect_answer_within_s = 1).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    // Its authentication and its first report in one piece, before it can know of any command.
    let (authentication, mut bytes) = device.frame(0x0102, code.as_bytes());
    let (first, report_bytes) = device.frame(0x0200, &report(1));
    bytes.extend_from_slice(&report_bytes);
    device.write(&bytes).await;
    assert_eq!(device.reply_to(authentication).await, 0);
    assert_eq!(device.receive().await.expect("where to go").id, 0x8105);
    let second = device.send(0x0200, &report(2)).await;

    let mut link = gateway.let_in().await;
    for (serial, number) in [(first, 1), (second, 2)] {
        let heard = link.receive().await.expect("a report");
        assert_eq!((heard.serial, heard.body.as_ref()), (serial, &report(number)[..]));
        link.reply(serial, 0x0200, 0).await;
        assert_eq!(device.reply_to(serial).await, 0, "acknowledged by the gateway, and by nobody before");
    }
    assert_eq!(login.stats().redirect_ignored, 1);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_says_it_would_go_and_stays_is_spliced_through() {
    let (_world, login, gateway, _) =
        World::small_with(|settings| settings.redirect_leave_within_s = 1).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let redirect = device.receive().await.expect("where to go");
    device.send(0x0001, &answer(redirect.serial, 0x8105, 0)).await;
    let mut link = gateway.let_in().await;
    assert_eq!(link.receive().await.expect("what it said since").id, 0x0001);
    assert_through(&mut device, &mut link).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_too_much_to_say_to_wait_is_spliced_through_at_once() {
    let (_world, login, gateway, _) = World::small_with(|settings| settings.redirect_bytes_max = 2_000).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    device.receive().await.expect("where to go");
    let mut serials = Vec::new();
    for number in 0..100 {
        serials.push(device.send(0x0200, &report(number)).await);
    }
    let mut link = gateway.let_in().await;
    for (number, serial) in (0..100).zip(serials) {
        let heard = link.receive().await.expect("a report");
        assert_eq!((heard.serial, heard.body.as_ref()), (serial, &report(number)[..]));
    }
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_a_code_that_no_command_can_carry_is_spliced_through_at_once() {
    let (_world, login, gateway, _) =
        World::small_with(|settings| settings.admission = access::terminal::Admission::Open).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate("its;own").await, 0);
    let mut link = gateway.let_in().await;
    assert_through(&mut device, &mut link).await;
    assert_eq!(login.stats().redirects, 0);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_gateway_dies_the_terminal_is_closed_so_that_it_comes_back() {
    let (world, login, gateway, terminal) =
        World::small_with(|settings| settings.redirect_failures_max = 0).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let link = gateway.let_in().await;
    wait_for_count(&login, "spliced", 1, |stats| stats.splices).await;
    login.arrivals().told_all(&node("gw1"), &[(terminal, LinkStamp { epoch: None, since_ms: 5 })]);
    drop((link, gateway));
    device.assert_closed().await;
    wait_for_count(&login, "the gateway's end", 1, |stats| stats.gateway_lost).await;

    // It comes back before the gateway is missed: the next one is tried in its place.
    let other = Gateway::new().await;
    world.fleet.put("gw2", other.port(), 500, None);
    let mut device = Device::connect(login.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    let mut link = other.let_in().await;
    assert_through(&mut device, &mut link).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_gateway_can_be_reached_the_terminal_is_closed() {
    let (world, login, gateway, _) = World::small_with(|settings| settings.redirect_failures_max = 0).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = taken.local_addr().expect("bound").port();
    drop((taken, gateway));
    world.fleet.put("gw1", port, 0, None);
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    device.assert_closed().await;
    wait_for_count(&login, "tries", 3, |stats| stats.gateway_unreachable).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_its_gateway_does_not_let_in_is_closed() {
    let (_world, login, gateway, _) = World::small_with(|settings| {
        settings.redirect_failures_max = 0;
        settings.splice_answer_within_s = 1;
    })
    .await;
    for refuses in [true, false] {
        let mut device = Device::connect(login.addr(), SIM).await;
        let code = device.register("").await.expect("known");
        assert_eq!(device.authenticate(&code).await, 0);
        let mut link = gateway.accept().await;
        let authentication = link.receive().await.expect("the authentication");
        if refuses {
            link.reply(authentication.serial, 0x0102, 1).await;
        }
        device.assert_closed().await;
        link.assert_closed().await;
    }
    wait_for_count(&login, "refusals", 2, |stats| stats.gateway_refused).await;
    assert_eq!(login.stats().spliced, 0);
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_takes_nothing_is_not_read_for() {
    let (_world, login, gateway, _) = World::small_with(|settings| settings.redirect_failures_max = 0).await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    // The gateway does not read: the terminal is held up long before this much is taken.
    let phone = Phone::short(SIM).expect("a phone number");
    let mut frame_bytes = Vec::new();
    frame::encode(&Header::new(0x0200, Edition::V2013, phone, 0), &[0x30; 1_000], &mut frame_bytes);
    let flood = frame_bytes.repeat(64 * 1024);
    let held_up = tokio::time::timeout(crate::support::QUIET, device.write(&flood)).await;
    assert!(held_up.is_err(), "64 MiB went somewhere");
    // And what was taken is all there, in order.
    for _ in 0..100 {
        assert_eq!(link.receive().await.expect("a report").body.len(), 1_000);
    }
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn splices_at_once_are_bounded() {
    let (world, login, gateway, _) = World::small_with(|settings| {
        settings.redirect_failures_max = 0;
        settings.splices_max = 1;
    })
    .await;
    world.terminal("13900000002").await;
    let mut first = Device::connect(login.addr(), SIM).await;
    let code = first.register("").await.expect("known");
    assert_eq!(first.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    let mut second = Device::connect(login.addr(), "13900000002").await;
    let code = second.register("").await.expect("known");
    assert_eq!(second.authenticate(&code).await, 0);
    second.assert_closed().await;
    wait_for_count(&login, "no room", 1, |stats| stats.splices_full).await;
    assert_through(&mut first, &mut link).await;
    drop(first);
    link.assert_closed().await;
    wait_for_count(&login, "the first one's end", 0, |stats| stats.splices).await;
    let mut second = Device::connect(login.addr(), "13900000002").await;
    assert_eq!(second.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    assert_through(&mut second, &mut link).await;
    login.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_splice_ends() {
    let (_world, login, gateway, _) = World::small_with(|settings| {
        settings.redirect_failures_max = 0;
        settings.splice_idle_s = 1;
    })
    .await;
    let mut device = Device::connect(login.addr(), SIM).await;
    let code = device.register("").await.expect("known");
    assert_eq!(device.authenticate(&code).await, 0);
    let mut link = gateway.let_in().await;
    device.assert_closed().await;
    link.assert_closed().await;
    wait_for_count(&login, "silence", 1, |stats| stats.splice_idle).await;
    login.shutdown().await;
}
