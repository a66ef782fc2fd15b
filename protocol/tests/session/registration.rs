//! 0x0100 and 0x8100.

use protocol::jt808::Edition;
use protocol::jt808::message::Registration;
use protocol::jt808::server::{Event, RegisterResult};
use protocol::jt808::terminal;

use crate::pair::{CODE, Pair, settings};

#[test]
fn a_terminal_without_a_code_registers_and_then_authenticates_with_the_one_it_got() {
    for edition in [Edition::V2011, Edition::V2013, Edition::V2019] {
        let mut pair = Pair::new(edition);
        let [Event::Register { body, to, edition: header_edition, phone }] = &pair.events[..] else {
            panic!("{:?}", pair.events)
        };
        let registration = Registration::decode(body, *header_edition).expect("decodes");
        assert_eq!(registration.layout, edition);
        assert_eq!(registration.plate.to_str(), "粤B12345");
        assert_eq!((registration.province, registration.city, registration.plate_colour), (44, 300, 2));
        assert_eq!(registration.model.to_str(), "MODEL");
        assert_eq!(registration.terminal_id.to_str(), "T000001");
        assert_eq!(phone.sim(), "13912345678");

        pair.server.registered(pair.now, *to, RegisterResult::Done, Some(CODE));
        pair.drive();
        let [_, Event::Authenticate { code, imei, software, .. }] = &pair.events[..] else {
            panic!("{:?}", pair.events)
        };
        assert_eq!(&code[..], CODE);
        let of_2019 = edition == Edition::V2019;
        assert_eq!(imei.as_deref(), of_2019.then_some(&b"861234567890123"[..]));
        assert_eq!(software.as_deref(), of_2019.then_some(&b"1.0.3"[..]));
    }
}

#[test]
fn a_refusal_carries_its_result_and_no_code() {
    let mut pair = Pair::new(Edition::V2013);
    let Some(Event::Register { to, .. }) = pair.events.pop() else { panic!("a registration") };
    pair.server.registered(pair.now, to, RegisterResult::NoSuchTerminal, None);
    pair.drive();
    assert_eq!(&pair.downlinks[0].body[..], [0, 0, 4]);
    assert_eq!(pair.terminal_closed, Some(terminal::CloseReason::RegistrationRefused { result: 4 }));
}

#[test]
fn registering_again_is_answered_at_any_time() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.terminal.disconnected();
    let mut again = terminal::Session::new(pair.now, settings(Edition::V2013));
    std::mem::swap(&mut pair.terminal, &mut again);
    pair.terminal.connected(pair.now);
    pair.drive();
    assert!(matches!(pair.events[..], [Event::Register { .. }]), "{:?}", pair.events);
    pair.log_in();
}

#[test]
fn log_out_is_acknowledged_and_told() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.terminal.unregister(pair.now);
    pair.drive();
    assert_eq!(pair.events, [Event::Unregister]);
    assert_eq!(pair.downlink_ids(), [0x8001]);
}
