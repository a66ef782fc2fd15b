//! Bad input on the 808 link: for each case the reply, the counter, and whether the link stays open, as
//! docs/device-links.md says. Nothing stored is lost by any of it.

use std::time::{Duration, Instant};

use crate::support::{Device, World, location, trouble, wait_for, wait_for_trouble, wait_long_for};
use access::terminal::Admission;
use gateway::{Gateway, Trouble};
use protocol::jt808::Package;

const SIM: &str = "13900000009";

struct Scene {
    world: World,
    gateway: Gateway,
    device: Device,
}

/// An authenticated terminal with one stored report.
async fn scene() -> Scene {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    device.report(&location(chrono::Utc::now() - chrono::TimeDelta::minutes(1), 0, 1)).await;
    Scene { world, gateway, device }
}

impl Scene {
    /// No reply to what was bad; the link is open, and the terminal is still believed.
    async fn goes_on(mut self) {
        self.device.assert_quiet().await;
        self.device.assert_alive().await;
        self.device.report(&location(chrono::Utc::now(), 0, 2)).await;
        let sim = SIM.parse().expect("a SIM");
        let terminal = self.world.database.db().terminal_by_sim(&sim).await.expect("asked").expect("there");
        assert_eq!(self.world.track(terminal.id).await.len(), 2, "nothing stored is lost");
        self.gateway.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_frame_is_skipped() {
    let mut scene = scene().await;
    let (_, mut frame) = scene.device.frame(0x0200, &location(chrono::Utc::now(), 0, 9));
    frame[0] = 0x55;
    let middle = frame.len() / 2;
    frame[middle] ^= 0x10;
    scene.device.write(&frame).await;
    scene.device.write(b"GET / HTTP/1.1\r\n\r\n").await;
    let (_, heartbeat) = scene.device.frame(0x0002, &[]);
    // The garbled frame's end may be taken for the beginning of another: the next good one is found all the same.
    scene.device.write(&heartbeat).await;
    wait_for("noise or a wrong check byte to be counted", async || {
        (trouble(&scene.gateway, Trouble::Noise) + trouble(&scene.gateway, Trouble::Checksum) > 0)
            .then_some(())
    })
    .await;
    let reply = scene.device.receive().await.expect("the heartbeat's answer");
    assert_eq!((reply.id, &reply.body[2..]), (0x8001, &[0x00, 0x02, 0x00][..]));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_is_skipped() {
    let mut scene = scene().await;
    let (_, mut frame) = scene.device.frame(0x0200, &location(chrono::Utc::now(), 0, 9));
    let check = frame.len() - 2;
    frame[check] ^= 0x01;
    scene.device.write(&frame).await;
    wait_for_trouble(&scene.gateway, Trouble::Checksum, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_7d_is_skipped() {
    let mut scene = scene().await;
    let (_, mut frame) = scene.device.frame(0x0200, &location(chrono::Utc::now(), 0, 9));
    frame.splice(20..20, [0x7d, 0x33]);
    scene.device.write(&frame).await;
    wait_for_trouble(&scene.gateway, Trouble::Escape, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_skipped() {
    let mut scene = scene().await;
    let mut frame = vec![0x7e];
    frame.extend_from_slice(&[0x02; 5_000]);
    frame.push(0x7e);
    scene.device.write(&frame).await;
    wait_for_trouble(&scene.gateway, Trouble::Oversized, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_message_that_never_ends_is_given_up() {
    let mut scene = scene().await;
    // Each package is answered, or devices stop after the first.
    for _ in 0..5 {
        let first = Some(Package { total: 3, index: 1 });
        let (serial, frame) = scene.device.packet(0x0704, &[0; 100], first);
        scene.device.write(&frame).await;
        assert_eq!(scene.device.reply_to(serial).await, 0);
        // The serial numbers of the packages that never come.
        scene.device.frame(0x0704, &[]);
        scene.device.frame(0x0704, &[]);
    }
    wait_for_trouble(&scene.gateway, Trouble::SplitDropped, 1).await;
    let wrong = Some(Package { total: 3, index: 9 });
    let (serial, frame) = scene.device.packet(0x0704, &[0; 100], wrong);
    scene.device.write(&frame).await;
    assert_eq!(scene.device.reply_to(serial).await, 2);
    wait_for_trouble(&scene.gateway, Trouble::SplitInvalid, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_message_that_stands_still_is_asked_for_and_given_up_after_a_minute() {
    let mut scene = scene().await;
    let (serial, frame) = scene.device.packet(0x0704, &[0; 100], Some(Package { total: 3, index: 1 }));
    scene.device.write(&frame).await;
    assert_eq!(scene.device.reply_to(serial).await, 0);
    let [high, low] = serial.to_be_bytes();
    for _ in 0..3 {
        let asked = scene.device.receive().await.expect("what is missing is asked for");
        assert_eq!((asked.id, &asked.body[..]), (0x8003, &[high, low, 2, 0, 2, 0, 3][..]));
    }
    assert_eq!(trouble(&scene.gateway, Trouble::SplitDropped), 0, "it may still come");
    wait_long_for("the message to be given up", Duration::from_secs(80), async || {
        (trouble(&scene.gateway, Trouble::SplitDropped) > 0).then_some(())
    })
    .await;
    assert_eq!(trouble(&scene.gateway, Trouble::SplitDropped), 1);
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_body_that_is_too_long_is_left_unanswered() {
    let mut scene = scene().await;
    let mut body = location(chrono::Utc::now(), 0, 9);
    body.resize(128 * 1024 + 1, 0);
    let packages: Vec<_> = body.chunks(1_000).collect();
    let total = packages.len() as u16;
    for (index, package) in (1..).zip(packages) {
        let (serial, frame) = scene.device.packet(0x0200, package, Some(Package { total, index }));
        scene.device.write(&frame).await;
        if index < total {
            assert_eq!(scene.device.reply_to(serial).await, 0, "of {index}");
        }
    }
    wait_for_trouble(&scene.gateway, Trouble::Location, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_takes_no_bytes_is_closed() {
    let mut scene = scene().await;
    // Each is answered, and no answer is read: sockets hold some hundred thousand of them.
    let heartbeats: Vec<u8> = (0..4_000).flat_map(|_| scene.device.frame(0x0002, &[]).1).collect();
    let until = Instant::now() + Duration::from_secs(120);
    while trouble(&scene.gateway, Trouble::WriteStalled) == 0 {
        assert!(Instant::now() < until, "the gateway writes on and on");
        scene.device.write_within(Duration::from_millis(500), &heartbeats).await;
    }
    assert_eq!(trouble(&scene.gateway, Trouble::WriteStalled), 1);
    let sim = SIM.parse().expect("a SIM");
    let terminal = scene.world.database.db().terminal_by_sim(&sim).await.expect("asked").expect("there").id;
    wait_for("the terminal to be offline", async || (!scene.world.read(terminal).await.online).then_some(()))
        .await;
    Device::online(scene.gateway.addr(), SIM).await.assert_alive().await;
    scene.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_decode_is_answered_as_wrong() {
    let mut scene = scene().await;
    let serial = scene.device.send(0x0200, &[0; 27]).await;
    assert_eq!(scene.device.reply_to(serial).await, 2);
    wait_for_trouble(&scene.gateway, Trouble::Body, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_message_is_answered_as_unsupported() {
    let mut scene = scene().await;
    let serial = scene.device.send(0x0fff, &[1, 2, 3]).await;
    assert_eq!(scene.device.reply_to(serial).await, 3);
    wait_for_trouble(&scene.gateway, Trouble::Unsupported, 1).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_without_end_closes_the_link() {
    let mut scene = scene().await;
    for _ in 0..80 {
        scene.device.write(&[0xaa; 1_024]).await;
        if trouble(&scene.gateway, Trouble::Garbage) > 0 {
            break;
        }
    }
    wait_for_trouble(&scene.gateway, Trouble::Garbage, 1).await;
    scene.device.assert_closed().await;
    let mut again = Device::online(scene.gateway.addr(), SIM).await;
    again.assert_alive().await;
    scene.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_closes_the_link() {
    let mut world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    world.settings.idle_s = 1;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    device.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::Idle, 1).await;
    wait_for("the terminal to be offline", async || (!world.read(terminal).await.online).then_some(())).await;
    gateway.shutdown().await;
}
