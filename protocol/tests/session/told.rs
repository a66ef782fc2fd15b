//! Each message that comes or goes, told where the terminal's settings ask for it.

use protocol::jt808::Edition;
use protocol::jt808::server;
use protocol::jt808::terminal::{Event, Settings};

use crate::pair::{Pair, settings};

#[test]
fn messages_are_told_with_their_serials_before_what_comes_of_them() {
    let terminal = Settings { tells_messages: true, ..settings(Edition::V2013) };
    let mut pair = Pair::with(terminal, server::Settings::default());
    assert_eq!(pair.terminal_events, [Event::Sent { id: 0x0100, serial: 0 }]);
    pair.log_in_keeping();
    let told = |pair: &Pair, id: u16| {
        pair.terminal_events.iter().position(|event| match event {
            Event::Received { id: told, .. } | Event::Sent { id: told, .. } => *told == id,
            _ => false,
        })
    };
    let registered = pair.terminal_events.iter().position(|e| matches!(e, Event::Registered { .. }));
    assert!(told(&pair, 0x8100) < registered && registered < told(&pair, 0x0102));
    let authenticated = pair.terminal_events.iter().position(|e| *e == Event::Authenticated);
    assert!(told(&pair, 0x8001).is_some() && told(&pair, 0x8001) < authenticated);

    pair.forget();
    pair.command(7, 0x8105, b"\x04");
    let [(id, serial)] = pair.commands()[..] else { panic!("one command") };
    pair.terminal.answer(pair.now, id, serial, 3);
    pair.drive();
    assert_eq!(serial, pair.downlinks[0].header.serial);
    assert_eq!(
        [&pair.terminal_events[0], &pair.terminal_events[2]],
        [
            &Event::Received { id: 0x8105, serial },
            &Event::Sent { id: 0x0001, serial: pair.uplinks[0].header.serial }
        ]
    );
}

#[test]
fn a_split_message_is_told_once_with_its_last_serial() {
    let terminal = Settings { tells_messages: true, ..settings(Edition::V2019) };
    let mut pair = Pair::with(terminal, server::Settings::default());
    pair.log_in();
    pair.command(7, 0x8300, &[b'x'; 2_500]);
    let last = pair.downlinks[2].header.serial;
    assert_eq!(pair.terminal_events[0], Event::Received { id: 0x8300, serial: last });
    assert_eq!(pair.terminal_events.len(), 2, "and the command: {:?}", pair.terminal_events);
    pair.forget();
    pair.terminal.answer_with(pair.now, 0x8300, last, 0x0104, &[1; 2_500]);
    pair.drive();
    let last = pair.uplinks[2].header.serial;
    assert_eq!(pair.terminal_events[0], Event::Sent { id: 0x0104, serial: last });
    let sent = pair.terminal_events.iter().filter(|event| matches!(event, Event::Sent { .. }));
    assert_eq!(sent.count(), 1);
}

#[test]
fn nothing_is_told_otherwise() {
    let mut pair = Pair::new(Edition::V2013);
    pair.log_in_keeping();
    let told = |event: &Event| matches!(event, Event::Received { .. } | Event::Sent { .. });
    assert!(!pair.terminal_events.iter().any(told));
}
