//! Commands: matched to their answers, resent, given up.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{Answer, Settings, Trouble};

use crate::authentication::frame;
use crate::pair::{Pair, settings};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_general_answer_ends_a_command() {
    for (result, edition) in [(0, Edition::V2013), (3, Edition::V2019)] {
        let mut pair = Pair::logged_in(edition);
        pair.command(7, 0x9101, &[1, 2, 3]);
        let [(id, serial)] = pair.commands()[..] else { panic!("one command") };
        pair.terminal.answer(pair.now, id, serial, result);
        pair.drive();
        assert_eq!(pair.answers(), [(7, Answer::General(result))]);
    }
}

#[test]
fn an_answer_with_serial_0_is_matched_by_its_id() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(7, 0x9101, &[]);
    pair.command(8, 0x9102, &[]);
    pair.inject(&frame(0x0001, &[0, 0, 0x91, 0x02, 0]));
    assert_eq!(pair.answers(), [(8, Answer::General(0))]);
}

#[test]
fn an_answer_to_an_older_command_ends_no_newer_one() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(7, 0x9101, &[]);
    pair.inject(&frame(0x0001, &[0x7f, 0xff, 0x91, 0x01, 0]));
    assert_eq!(pair.answers(), []);
    assert_eq!(pair.troubles(), [Trouble::UnmatchedAnswer { id: 0x9101 }]);
}

#[test]
fn an_answer_to_nothing_is_counted() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(&frame(0x0001, &[0, 1, 0x91, 0x01, 0]));
    pair.inject(&frame(0x1003, &[6, 1, 0, 1, 1, 0x40, 0, 98, 8, 8]));
    pair.inject(&frame(0x0001, &[]));
    let unmatched = |id| Trouble::UnmatchedAnswer { id };
    assert_eq!(pair.troubles(), [unmatched(0x9101), unmatched(0x1003), Trouble::Body { id: 0x0001 }]);
}

#[test]
fn the_attributes_answer_their_query_with_or_without_a_general_answer_first() {
    for general_first in [false, true] {
        let mut pair = Pair::logged_in(Edition::V2013);
        pair.command(7, 0x9003, &[]);
        let [(id, serial)] = pair.commands()[..] else { panic!("one command") };
        if general_first {
            pair.terminal.answer(pair.now, id, serial, 0);
            pair.drive();
            assert_eq!(pair.answers(), []);
        }
        let body = [6, 1, 0, 1, 1, 0x40, 0, 98, 8, 8];
        pair.terminal.answer_with(pair.now, id, serial, 0x1003, &body);
        pair.drive();
        let answer = Answer::Message { id: 0x1003, body: bytes::Bytes::copy_from_slice(&body) };
        assert_eq!(pair.answers(), [(7, answer)]);
        assert!(!pair.downlink_ids().contains(&0x8001), "an answer is not acknowledged");
    }
}

#[test]
fn a_refusal_ends_a_query() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(7, 0x9003, &[]);
    let [(id, serial)] = pair.commands()[..] else { panic!("one command") };
    pair.terminal.answer(pair.now, id, serial, 3);
    pair.drive();
    assert_eq!(pair.answers(), [(7, Answer::General(3))]);
}

#[test]
fn an_unanswered_command_is_sent_again_unchanged_with_growing_waits_and_given_up() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(7, 0x9101, &[9]);
    // 10 s, then 10 x 2, then 20 x 3
    for (sent, wait) in [(1, 10), (2, 20), (3, 60)] {
        assert_eq!(starts(&pair), sent);
        pair.advance(wait * SECOND - Duration::from_millis(1));
        assert_eq!((starts(&pair), pair.answers().len()), (sent, 0));
        pair.advance(Duration::from_millis(1));
    }
    assert_eq!(pair.answers(), [(7, Answer::TimedOut)]);
    let sent: Vec<_> = pair.downlinks.iter().filter(|f| f.header.id == 0x9101).collect();
    assert!(sent.iter().all(|f| f.header == sent[0].header && f.body == sent[0].body));
}

fn starts(pair: &Pair) -> usize {
    pair.downlinks.iter().filter(|frame| frame.header.id == 0x9101).count()
}

#[test]
fn a_repeated_command_is_answered_again_and_not_done_again() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.uplink_filter = Some(Box::new(|frame| frame.header.id != 0x0001));
    pair.command(7, 0x9101, &[9]);
    let [(id, serial)] = pair.commands()[..] else { panic!("one command") };
    pair.terminal.answer(pair.now, id, serial, 0);
    pair.drive();
    pair.uplink_filter = None;
    pair.advance(10 * SECOND);
    assert_eq!(pair.answers(), [(7, Answer::General(0))]);
    assert_eq!(pair.commands().len(), 1);
}

#[test]
fn only_so_many_commands_wait() {
    let mut pair = Pair::with(settings(Edition::V2013), Settings { commands_max: 2, ..Settings::default() });
    pair.log_in();
    for token in 0..3 {
        pair.command(token, 0x9101, &[]);
    }
    assert_eq!(pair.answers(), [(2, Answer::Busy)]);
}

#[test]
fn a_command_too_long_for_any_terminal_is_not_sent() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.command(1, 0x8300, &vec![b'x'; protocol::jt808::server::COMMAND_BODY_MAX + 1]);
    assert_eq!(pair.answers(), [(1, Answer::TooLong)]);
    assert!(pair.downlinks.is_empty());
}

#[test]
fn downlinks_copy_the_phone_bytes_and_count_their_serials() {
    for edition in [Edition::V2013, Edition::V2019] {
        let mut pair = Pair::logged_in(edition);
        for token in 0..3 {
            pair.command(token, 0x9102, &[]);
        }
        pair.report(1, 1);
        let phone = pair.uplinks[0].header.phone;
        assert!(pair.downlinks.iter().all(|f| f.header.phone == phone));
        let serials: Vec<_> = pair.downlinks.iter().map(|f| f.header.serial).collect();
        assert_eq!(serials, [serials[0], serials[0] + 1, serials[0] + 2]);
    }
}

#[test]
fn the_time_is_asked_and_told() {
    use protocol::jt808::server::Event;
    use protocol::jt808::terminal;
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(&frame(0x0004, &[]));
    let [Event::TimeAsked { to }] = pair.events[..] else { panic!("{:?}", pair.events) };
    pair.server.time(pair.now, to, 1_795_321_845);
    pair.drive();
    assert_eq!(pair.terminal_events, [terminal::Event::Time([0x26, 0x11, 0x22, 0x04, 0x30, 0x45])]);
}
