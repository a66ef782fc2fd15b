//! Reports on their way: normalised, stored once, acknowledged, told to whoever listens.

use crate::support::{Device, World, at, location};
use access::terminal::Admission;
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use model::{AlarmChange, AlarmKind, Event};
use protocol::jt808::message::encode_batch;

const SIM: &str = "13900000011";

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_of_each_kind_is_acknowledged_and_stored_once() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let body = location(at(1), 0, 1);
    let (serial, frame) = device.frame(0x0200, &body);
    for _ in 0..2 {
        device.write(&frame).await;
        assert_eq!(device.reply_to(serial).await, 0, "the old serial number");
    }
    device.report(&body).await;
    let mut batch = Vec::new();
    encode_batch(1, [&body[..], &location(at(2), 0, 2), &body].into_iter(), &mut batch);
    let serial = device.send(0x0704, &batch).await;
    assert_eq!(device.reply_to(serial).await, 0);
    assert_eq!(world.track(terminal).await.len(), 2);
    let stats = gateway.stats();
    assert_eq!((stats.received, stats.inserted, stats.repeated), (6, 2, 4));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_is_told_at_once_and_again_when_it_is_stored() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut events = world.events();
    let mut device = Device::online(gateway.addr(), SIM).await;
    device.report(&location(at(1), 0b10, 1)).await;
    device.report(&location(at(2), 0b10, 2)).await;
    device.report(&location(at(3), 0, 3)).await;

    let mut alarms = Vec::new();
    while alarms.len() < 3 {
        if let Event::Alarm { change, alarm } = events.next().await.expect("an event").expect("in time") {
            assert_eq!((alarm.terminal, alarm.kind.code()), (terminal, 1));
            alarms.push((change, alarm));
        }
    }
    let told: Vec<_> = alarms.iter().map(|(change, alarm)| (*change, alarm.confirmed)).collect();
    assert_eq!(
        told,
        [(AlarmChange::Started, false), (AlarmChange::Started, true), (AlarmChange::Ended, true)]
    );
    let ids: std::collections::BTreeSet<_> = alarms.iter().map(|(_, alarm)| alarm.id).collect();
    assert_eq!(ids.len(), 1, "one alarm, whatever is told of it");
    assert_eq!(alarms[2].1.end.map(|end| end - alarms[2].1.start), Some(TimeDelta::seconds(2)));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_that_last_over_a_new_link_do_not_begin_again() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let gateway = world.start().await;
    Device::online(gateway.addr(), SIM).await.report(&location(at(1), 0b10, 1)).await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let mut events = world.events();
    device.report(&location(at(2), 0b11, 2)).await;
    let begun = loop {
        match events.next().await.expect("an event").expect("in time") {
            Event::Alarm { alarm, .. } => break alarm,
            _ => continue,
        }
    };
    assert_eq!(begun.kind, AlarmKind::new(0).expect("a kind"));
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_time_is_stored_and_acknowledged() {
    let world = World::new().await.admission(Admission::Known);
    let terminal = world.terminal(SIM).await.id;
    let gateway = world.start().await;
    let mut device = Device::online(gateway.addr(), SIM).await;
    let mut body = location(at(1), 0, 1);
    body[22..28].fill(0xff);
    for _ in 0..3 {
        device.report(&body).await;
    }
    let stats = gateway.stats();
    assert_eq!((stats.inserted, stats.repeated), (1, 2));
    assert!(world.track(terminal).await.is_empty(), "it is in no track");
    gateway.shutdown().await;
}
