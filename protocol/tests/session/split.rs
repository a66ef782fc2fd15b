//! Long messages in packages, both ways.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{Answer, Outcome, ReportSource, Settings, Trouble};
use protocol::jt808::terminal;

use crate::pair::{Pair, settings};

/// A terminal that puts 80 reports into one 0x0704: 2,403 bytes, three packages.
fn verbose(edition: Edition) -> Pair {
    let terminal = terminal::Settings { batch_max: 80, ..settings(edition) };
    let mut pair = Pair::with(terminal, Settings::default());
    pair.log_in();
    pair.terminal.disconnected();
    for key in 0..80 {
        pair.report(key, (key % 60) as u8);
    }
    pair
}

#[test]
fn a_split_batch_is_acknowledged_package_by_package_and_the_last_after_the_commit() {
    for edition in [Edition::V2013, Edition::V2019] {
        let mut pair = verbose(edition);
        pair.reconnect();
        assert_eq!(pair.reports(), [(ReportSource::Backfill, 80)]);
        let packages: Vec<_> = pair.uplinks.iter().filter(|f| f.header.id == 0x0704).collect();
        assert_eq!(packages.len(), 3);
        let acknowledged = |pair: &Pair| {
            let of_batch =
                |f: &&protocol::jt808::Frame| f.header.id == 0x8001 && f.body[2..4] == [0x07, 0x04];
            pair.downlinks
                .iter()
                .filter(of_batch)
                .map(|f| u16::from_be_bytes([f.body[0], f.body[1]]))
                .collect::<Vec<_>>()
        };
        let serials: Vec<_> = packages.iter().map(|f| f.header.serial).collect();
        assert_eq!(acknowledged(&pair), serials[..2]);
        pair.store_all(Outcome::Stored);
        assert_eq!(acknowledged(&pair), serials);
        assert_eq!(pair.acknowledged().len(), 80);
    }
}

#[test]
fn the_last_package_waits_for_the_commit_even_when_another_one_comes_later() {
    let mut pair = verbose(Edition::V2013);
    let mut lost = false;
    pair.uplink_filter = Some(Box::new(move |frame| {
        let first = frame.header.package.is_some_and(|p| p.index == 1);
        let passes = lost || !first;
        lost |= first;
        passes
    }));
    pair.reconnect();
    assert_eq!(pair.reports(), []);
    pair.forget();
    pair.advance(Duration::from_secs(5)); // 0x8003 brings package 1 again
    assert_eq!(pair.reports(), [(ReportSource::Backfill, 80)]);
    assert!(pair.acknowledged().is_empty());
    assert!(!pair.downlink_ids().contains(&0x8001), "neither the completing package nor the last");
    pair.store_all(Outcome::Stored);
    assert_eq!(pair.downlink_ids(), [0x8003, 0x8001, 0x8001]);
    assert_eq!(pair.acknowledged().len(), 80);
}

#[test]
fn a_split_message_that_never_ends_is_dropped_and_counted() {
    let mut pair = verbose(Edition::V2013);
    pair.uplink_filter = Some(Box::new(|frame| frame.header.package.is_none_or(|p| p.index != 2)));
    pair.reconnect();
    pair.forget();
    pair.advance(Duration::from_secs(14)); // before the terminal's own resend
    pair.terminal.disconnected();
    pair.advance(Duration::from_secs(61));
    assert!(pair.troubles().contains(&Trouble::SplitDropped), "{:?}", pair.troubles());
    assert_eq!(pair.reports(), []);
    assert_eq!(pair.server_closed, None);
}

#[test]
fn packages_that_cannot_be_are_refused() {
    for (total, index) in [(3u16, 0u16), (3, 4), (0, 1)] {
        let mut pair = Pair::logged_in(Edition::V2013);
        let mut plain = vec![0x07, 0x04, 0x20, 0x01, 0x01, 0x39, 0x12, 0x34, 0x56, 0x78, 0x10, 0x00];
        plain.extend(total.to_be_bytes());
        plain.extend(index.to_be_bytes());
        plain.push(0xaa);
        let check = plain.iter().fold(0, |check, byte| check ^ byte);
        pair.inject(&[&[0x7e][..], &plain, &[check, 0x7e]].concat());
        assert_eq!(pair.troubles(), [Trouble::SplitInvalid]);
        assert_eq!(pair.downlinks[0].body[4], 2);
    }
}

#[test]
fn a_long_command_is_split_and_any_serial_of_its_run_answers_it() {
    for answered in 0..3 {
        let mut pair = Pair::logged_in(Edition::V2013);
        let text = vec![b'x'; 2500];
        pair.command(7, 0x8300, &text);
        let packages: Vec<_> =
            pair.downlinks.iter().map(|f| (f.header.package.unwrap().index, f.body.len())).collect();
        assert_eq!(packages, [(1, 1023), (2, 1023), (3, 454)]);
        let [terminal::Event::Command { id: 0x8300, serial, body }] = &pair.terminal_events[..] else {
            panic!("{:?}", pair.terminal_events)
        };
        assert_eq!(body, &text);
        let serial = serial - answered;
        pair.terminal.answer(pair.now, 0x8300, serial, 0);
        pair.drive();
        assert_eq!(pair.answers(), [(7, Answer::General(0))]);
    }
}
