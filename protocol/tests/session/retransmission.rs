//! 0x8003 and 0x0005: packages that were lost are asked for and sent once more.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{ReportSource, Settings, Trouble};
use protocol::jt808::terminal;

use crate::authentication::frame;
use crate::pair::{Pair, settings};

#[test]
fn the_platform_asks_for_exactly_what_is_missing() {
    for (edition, count) in [(Edition::V2013, &[2][..]), (Edition::V2019, &[0, 2][..])] {
        let terminal = terminal::Settings { batch_max: 150, ..settings(edition) };
        let mut pair = Pair::with(terminal, Settings::default());
        pair.log_in();
        pair.terminal.disconnected();
        (0..150).for_each(|key| pair.report(key, 0));
        let mut lost = Vec::new();
        pair.uplink_filter = Some(Box::new(move |frame| match frame.header.package {
            Some(package) if [2, 4].contains(&package.index) && !lost.contains(&package.index) => {
                lost.push(package.index);
                false
            }
            _ => true,
        }));
        pair.reconnect();
        let first = pair.uplinks.iter().find(|f| f.header.id == 0x0704).expect("package 1").header.serial;
        pair.forget();
        pair.advance(Duration::from_secs(5));
        let asked = pair.downlinks.iter().find(|f| f.header.id == 0x8003).expect("asked");
        assert_eq!(asked.body, [&first.to_be_bytes()[..], count, &[0, 2, 0, 4]].concat());
        assert_eq!(pair.reports(), [(ReportSource::Backfill, 150)]);
        let again: Vec<_> = pair.uplinks.iter().filter_map(|f| f.header.package.map(|p| p.index)).collect();
        assert_eq!(again, [2, 4]);
    }
}

#[test]
fn the_platform_stops_asking() {
    let terminal = terminal::Settings { batch_max: 80, ..settings(Edition::V2013) };
    let mut pair = Pair::with(terminal, Settings::default());
    pair.log_in();
    pair.terminal.disconnected();
    (0..80).for_each(|key| pair.report(key, 0));
    pair.uplink_filter = Some(Box::new(|frame| frame.header.package.is_none_or(|p| p.index != 3)));
    pair.reconnect();
    pair.terminal.disconnected();
    pair.advance(Duration::from_secs(59));
    let asked = pair.downlink_ids().into_iter().filter(|id| *id == 0x8003).count();
    assert_eq!(asked, 3);
}

#[test]
fn a_2019_terminal_asks_for_missing_packages_of_a_command() {
    let mut pair = Pair::logged_in(Edition::V2019);
    let mut lost = false;
    pair.downlink_filter = Some(Box::new(move |frame| {
        let second = frame.header.package.is_some_and(|p| p.index == 2);
        let passes = lost || !second;
        lost |= second;
        passes
    }));
    pair.command(7, 0x8300, &[b'x'; 2500]);
    assert!(pair.terminal_events.is_empty());
    pair.advance(Duration::from_secs(5));
    assert_eq!(pair.uplink_ids(), [0x0005]);
    assert_eq!(pair.commands().len(), 1, "{:?}", pair.terminal_events);
}

#[test]
fn packages_that_are_not_kept_cannot_be_sent_again() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(&frame(0x0005, &[0, 9, 0, 1, 0, 1]));
    assert_eq!(pair.troubles(), [Trouble::ResendUnknown]);
    pair.inject(&frame(0x0005, &[0]));
    assert_eq!(pair.troubles()[1], Trouble::Body { id: 0x0005 });
}

#[test]
fn one_split_command_is_not_an_amplifier() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(7, 0x8300, &[b'x'; 2500]);
    let first = pair.downlinks[0].header.serial.to_be_bytes();
    pair.forget();
    for _ in 0..10 {
        pair.inject(&frame(0x0005, &[first[0], first[1], 0, 3, 0, 1, 0, 2, 0, 3]));
    }
    assert_eq!(pair.downlinks.len(), 9);
    assert_eq!(pair.troubles().len(), 7);
}
