//! 0x0102, and what happens before it succeeded.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{Answer, CloseReason, Event, Settings, Trouble};
use protocol::jt808::terminal;

use crate::pair::{CODE, Pair, settings};

#[test]
fn nothing_but_log_in_is_taken_before_authentication_succeeded() {
    // 0x0002, 0x0200, 0x0704, 0x0003, 0x0004, 0x0001 and an id that nobody knows
    for id in [0x0002, 0x0200, 0x0704, 0x0003, 0x0004, 0x0001, 0x0f12] {
        let mut pair = Pair::new(Edition::V2013);
        pair.forget();
        pair.inject(&frame(id, &[0; 40]));
        assert_eq!(pair.troubles(), [Trouble::BeforeAuthentication { id }]);
        assert!(pair.reports().is_empty() && pair.downlinks.is_empty(), "{id:#06x} was answered");
        assert!(pair.server_closed.is_none());
    }
}

#[test]
fn nothing_is_taken_while_the_code_is_being_checked() {
    let mut pair = with_code();
    assert!(matches!(pair.events[..], [Event::Authenticate { .. }]));
    pair.inject(&frame(0x0200, &[0; 28]));
    assert_eq!(pair.troubles(), [Trouble::BeforeAuthentication { id: 0x0200 }]);
}

#[test]
fn commands_wait_for_nobody() {
    let mut pair = Pair::new(Edition::V2013);
    pair.command(7, 0x8201, &[]);
    assert_eq!(pair.answers(), [(7, Answer::NotAuthenticated)]);
}

#[test]
fn a_wrong_code_is_answered_with_result_1_and_the_terminal_registers() {
    let mut pair = with_code();
    let Some(Event::Authenticate { to, .. }) = pair.events.pop() else { panic!("an authentication") };
    pair.server.authenticated(pair.now, to, false);
    pair.drive();
    assert_eq!(pair.downlinks[0].body[4], 1);
    assert_eq!(pair.terminal_events, [terminal::Event::AuthenticationRefused]);
    assert!(matches!(pair.events[..], [Event::Register { .. }]), "{:?}", pair.events);
    pair.log_in();
}

#[test]
fn a_link_that_nobody_authenticates_on_is_closed() {
    let mut pair = Pair::new(Edition::V2013);
    pair.terminal.disconnected();
    pair.advance(Settings::default().authentication_limit - Duration::from_millis(1));
    assert_eq!(pair.server_closed, None);
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.server_closed, Some(CloseReason::NotAuthenticated));
}

#[test]
fn a_message_in_another_name_is_skipped() {
    let mut pair = Pair::logged_in(Edition::V2013);
    let mut other = frame(0x0002, &[]);
    other[10] ^= 0x11; // the last byte of the phone number
    other[13] ^= 0x11; // and the check byte
    pair.inject(&other);
    assert_eq!(pair.troubles(), [Trouble::ForeignPhone { id: 0x0002 }]);
    assert!(pair.downlinks.is_empty());
}

#[test]
fn the_same_number_in_the_longer_header_is_the_same_terminal() {
    let mut pair = Pair::logged_in(Edition::V2013);
    // a heartbeat in the 2019 form
    pair.inject(&hex::decode("7e0002400001000000000139123456780005767e").unwrap());
    assert_eq!(pair.troubles(), []);
    // answered in the form that it used
    assert_eq!((pair.downlinks[0].header.version, pair.downlinks[0].header.versioned), (Some(1), true));
}

#[test]
fn only_so_many_log_ins_wait_at_once() {
    let mut pair = with_code();
    for _ in 0..5 {
        pair.inject(&frame(0x0102, CODE));
    }
    let waiting = pair.events.iter().filter(|e| matches!(e, Event::Authenticate { .. })).count();
    assert_eq!((waiting, pair.troubles().len()), (4, 2));
}

fn with_code() -> Pair {
    let settings = terminal::Settings { code: Some(CODE.into()), ..settings(Edition::V2013) };
    Pair::with(settings, Settings::default())
}

/// A frame of 013912345678 in the 2013 form; the body must need no escapes.
pub(crate) fn frame(id: u16, body: &[u8]) -> Vec<u8> {
    let mut plain = id.to_be_bytes().to_vec();
    plain.extend((body.len() as u16).to_be_bytes());
    plain.extend([0x01, 0x39, 0x12, 0x34, 0x56, 0x78, 0x10, 0x00]);
    plain.extend(body);
    let check = plain.iter().fold(0, |check, byte| check ^ byte);
    assert!(!plain.iter().chain([&check]).any(|byte| matches!(byte, 0x7d | 0x7e)));
    [&[0x7e][..], &plain, &[check, 0x7e]].concat()
}
