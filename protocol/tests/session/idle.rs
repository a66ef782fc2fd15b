//! A silent link.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{CloseReason, Trouble};

use crate::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn heartbeats_keep_a_link_open_and_silence_closes_it() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.advance(3600 * SECOND);
    assert_eq!(pair.server_closed, None);
    pair.uplink_filter = Some(Box::new(|_| false));
    pair.advance(181 * SECOND);
    assert_eq!(pair.server_closed, Some(CloseReason::Idle));
}

#[test]
fn the_limit_follows_the_heartbeat_period_once_it_is_known() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.uplink_filter = Some(Box::new(|_| false));
    pair.terminal.disconnected();
    pair.server.set_idle_limit(900 * SECOND);
    pair.advance(899 * SECOND);
    assert_eq!(pair.server_closed, None);
    pair.advance(2 * SECOND);
    assert_eq!(pair.server_closed, Some(CloseReason::Idle));
}

#[test]
fn noise_is_no_sign_of_life() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.uplink_filter = Some(Box::new(|_| false));
    pair.advance(100 * SECOND);
    pair.inject(b"~garbage~");
    assert_eq!(pair.troubles().len(), 1);
    assert_ne!(pair.troubles(), [Trouble::BatchCount]);
    pair.advance(81 * SECOND);
    assert_eq!(pair.server_closed, Some(CloseReason::Idle));
}
