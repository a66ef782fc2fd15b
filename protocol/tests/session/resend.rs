//! The terminal's resending: three kinds, growing waits, a dead link.

use std::time::Duration;

use protocol::jt808::Edition;
use protocol::jt808::server::{Outcome, ReportSource};
use protocol::jt808::terminal::{CloseReason, Event, Resend};

use crate::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_unanswered_report_comes_again_in_three_ways_with_growing_waits() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.report(1, 10);
    let first = pair.uplinks[0].clone();
    // 15 s, then 15 x 2, then 30 x 3
    for (wait, kind) in [(15, Resend::SameSerial), (30, Resend::NewSerial), (90, Resend::Batch)] {
        pair.forget();
        pair.advance(wait * SECOND - Duration::from_millis(1));
        assert!(!pair.terminal_events.contains(&Event::Resent { key: 1, kind }));
        pair.advance(Duration::from_millis(1));
        assert!(pair.terminal_events.contains(&Event::Resent { key: 1, kind }), "{kind:?}");
        let again = pair.uplinks.last().expect("sent again");
        match kind {
            Resend::SameSerial => assert_eq!((again.header, &again.body), (first.header, &first.body)),
            Resend::NewSerial => {
                assert_ne!(again.header.serial, first.header.serial);
                assert_eq!((again.header.id, &again.body), (0x0200, &first.body));
            }
            Resend::Batch => assert_eq!(pair.reports(), [(ReportSource::Backfill, 1)]),
        }
    }
    pair.store_all(Outcome::Stored);
    assert_eq!(pair.acknowledged(), [1]);
}

#[test]
fn a_late_acknowledgement_of_the_old_serial_counts() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.report(1, 10);
    let ticket = pair.tickets()[0];
    pair.advance(45 * SECOND);
    assert_eq!(pair.tickets().len(), 3, "the old serial again, then a new one");
    pair.server.stored(pair.now, ticket, Outcome::Stored);
    pair.drive();
    assert_eq!(pair.acknowledged(), [1]);
    pair.forget();
    pair.advance(600 * SECOND);
    assert_eq!(pair.reports(), [], "nothing is sent again after that");
}

#[test]
fn a_link_that_answers_nothing_is_dead_after_the_last_resend() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.downlink_filter = Some(Box::new(|_| false));
    pair.report(1, 10);
    pair.advance(1000 * SECOND);
    assert!(
        matches!(pair.terminal_closed, Some(CloseReason::Unanswered { .. })),
        "{:?}",
        pair.terminal_closed
    );
    assert_eq!(pair.terminal.unacknowledged(), 1);
}

#[test]
fn resending_before_its_time_as_devices_do() {
    for (kind, source) in [
        (Resend::SameSerial, ReportSource::Report),
        (Resend::NewSerial, ReportSource::Report),
        (Resend::Batch, ReportSource::Backfill),
    ] {
        let mut pair = Pair::logged_in(Edition::V2019);
        pair.report(1, 10);
        assert!(pair.terminal.resend(pair.now, 1, kind));
        pair.drive();
        assert_eq!(pair.reports(), [(ReportSource::Report, 1), (source, 1)]);
        pair.store_all(Outcome::Stored);
        assert_eq!(pair.acknowledged(), [1], "acknowledged once");
        assert!(!pair.terminal.resend(pair.now, 1, kind), "not kept any more");
    }
}

#[test]
fn heartbeats_fill_silence_and_are_acknowledged() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.advance(150 * SECOND);
    assert_eq!(pair.uplink_ids(), [0x0002, 0x0002]);
    assert_eq!(pair.downlink_ids(), [0x8001, 0x8001]);
}
