//! Positions: acknowledged after they are stored, and only then.

use protocol::jt808::Edition;
use protocol::jt808::server::{Event, Outcome, ReportSource, Settings, Trouble};

use crate::authentication::frame;
use crate::pair::{Pair, location, settings};

#[test]
fn the_acknowledgement_leaves_only_after_the_commit() {
    for edition in [Edition::V2011, Edition::V2013, Edition::V2019] {
        let mut pair = Pair::logged_in(edition);
        pair.report(1, 10);
        let [Event::Reports { bodies, source: ReportSource::Report, .. }] = &pair.events[..] else {
            panic!("{:?}", pair.events)
        };
        assert_eq!(bodies, &[location(10)]);
        assert!(pair.downlinks.is_empty() && pair.acknowledged().is_empty());
        pair.store_all(Outcome::Stored);
        assert_eq!(pair.acknowledged(), [1]);
        assert_eq!(pair.downlinks[0].body[2..], [0x02, 0x00, 0]);
        assert_eq!(pair.terminal.unacknowledged(), 0);
    }
}

#[test]
fn what_was_not_stored_is_not_answered() {
    for outcome in [Outcome::Failed, Outcome::Unknown] {
        let mut pair = Pair::logged_in(Edition::V2013);
        pair.report(1, 10);
        pair.store_all(outcome);
        pair.store_all(Outcome::Stored); // the ticket is used up
        assert!(pair.downlinks.is_empty());
        assert_eq!(pair.terminal.unacknowledged(), 1);
    }
}

#[test]
fn acknowledgements_follow_the_commits_in_any_order() {
    let mut pair = Pair::logged_in(Edition::V2019);
    for key in 0..4 {
        pair.report(key, key as u8);
    }
    let tickets = pair.tickets();
    for index in [2, 0, 3, 1] {
        pair.server.stored(pair.now, tickets[index], Outcome::Stored);
    }
    pair.drive();
    assert_eq!(pair.acknowledged(), [2, 0, 3, 1]);
}

#[test]
fn an_alarm_report_is_acknowledged_with_result_0() {
    let mut pair = Pair::logged_in(Edition::V2013);
    let mut body = [0u8; 28];
    body[3] = 1;
    pair.inject(&frame(0x0200, &body));
    pair.store_all(Outcome::Stored);
    assert_eq!(pair.downlinks[0].body[4], 0, "4 says that a person handled it");
}

#[test]
fn too_many_reports_that_wait_stop_the_reading() {
    let mut pair = Pair::with(settings(Edition::V2013), Settings { reports_max: 3, ..Settings::default() });
    pair.log_in();
    for key in 0..3 {
        assert!(pair.server.wants_input());
        pair.report(key, 0);
    }
    assert!(!pair.server.wants_input());
    let ticket = pair.tickets()[0];
    pair.server.stored(pair.now, ticket, Outcome::Failed);
    assert!(pair.server.wants_input());
}

#[test]
fn a_batch_with_a_wrong_count_and_a_cut_item_gives_what_is_whole() {
    let mut pair = Pair::logged_in(Edition::V2013);
    let item = location(5);
    let mut body = vec![0, 9, 0];
    for _ in 0..2 {
        body.extend([0, 28]);
        body.extend(&item);
    }
    body.extend([0, 28, 1, 2]);
    pair.inject(&frame(0x0704, &body));
    assert_eq!(pair.reports(), [(ReportSource::Batch, 2)]);
    assert_eq!(pair.troubles(), [Trouble::BatchCount]);
}

#[test]
fn a_report_too_short_for_a_location_is_answered_with_result_2() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(&frame(0x0200, &[0; 27]));
    assert_eq!(pair.troubles(), [Trouble::Body { id: 0x0200 }]);
    assert_eq!(pair.downlinks[0].body[4], 2);
}

#[test]
fn a_terminal_sends_its_backlog_in_batches_after_the_link_came_back() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.terminal.disconnected();
    for key in 0..40 {
        pair.report(key, key as u8);
    }
    assert_eq!(pair.reports(), []);
    pair.reconnect();
    let batch = |count| (ReportSource::Backfill, count);
    assert_eq!(pair.reports(), [batch(15), batch(15), batch(10)]);
    pair.store_all(Outcome::Stored);
    assert_eq!(pair.acknowledged(), (0..40).collect::<Vec<_>>());
}

#[test]
fn the_2011_edition_sends_its_backlog_one_by_one() {
    let mut pair = Pair::logged_in(Edition::V2011);
    pair.terminal.disconnected();
    for key in 0..3 {
        pair.report(key, key as u8);
    }
    pair.reconnect();
    assert_eq!(pair.reports(), [(ReportSource::Report, 1); 3]);
}
