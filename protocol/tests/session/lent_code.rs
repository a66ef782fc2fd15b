//! A terminal that was sent to another server authenticates there with the code that came with the command, and nowhere
//! else.

use protocol::jt808::Edition;
use protocol::jt808::server::Event;
use protocol::jt808::terminal::{self, CloseReason};

use crate::pair::{CODE, Pair};

/// The code that the terminal shows.
fn shown(pair: &mut Pair) -> Vec<u8> {
    match pair.events.pop() {
        Some(Event::Authenticate { code, .. }) => code.to_vec(),
        other => panic!("no authentication: {other:?}"),
    }
}

#[test]
fn it_is_shown_on_that_link_and_its_own_on_the_next() {
    for edition in [Edition::V2011, Edition::V2013, Edition::V2019] {
        let mut pair = Pair::logged_in(edition);
        pair.terminal.connected_with(pair.now, b"lent");
        pair.drive();
        assert_eq!(shown(&mut pair), b"lent");
        pair.terminal.connected(pair.now);
        pair.drive();
        assert_eq!(shown(&mut pair), CODE);
        assert_eq!(pair.server_closed, None);
    }
}

#[test]
fn it_is_good_for_reports() {
    let mut pair = Pair::logged_in(Edition::V2019);
    pair.terminal.connected_with(pair.now, b"lent");
    pair.drive();
    let Some(Event::Authenticate { to, .. }) = pair.events.pop() else { panic!("an authentication") };
    pair.server.authenticated(pair.now, to, true);
    pair.drive();
    assert!(pair.terminal.is_authenticated());
    pair.report(1, 1);
    assert_eq!(pair.tickets().len(), 1);
}

#[test]
fn refused_it_ends_the_link_and_the_terminal_keeps_its_own() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.terminal.connected_with(pair.now, b"lent");
    pair.drive();
    let Some(Event::Authenticate { to, .. }) = pair.events.pop() else { panic!("an authentication") };
    pair.server.authenticated(pair.now, to, false);
    pair.drive();
    assert_eq!(pair.terminal_events, [terminal::Event::AuthenticationRefused]);
    assert_eq!(pair.terminal_closed, Some(CloseReason::AuthenticationRefused));
    assert!(pair.events.is_empty(), "it does not register: {:?}", pair.events);
    pair.terminal.connected(pair.now);
    pair.drive();
    assert_eq!(shown(&mut pair), CODE);
}
