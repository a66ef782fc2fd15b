//! The candidate by hand, one rule each. What these rules amount to together, `tests/schedules.rs` tries.

use std::collections::BTreeMap;

use chrono::DateTime;

use super::*;
use crate::{Advertise, DIALECT, Limits};

const TTL: Duration = Duration::from_secs(5);
const LEASE: LeaseId = LeaseId(70);
const ME: Incarnation = Incarnation(7);

fn info(node: &str, dialect: u32) -> NodeInfo {
    NodeInfo {
        node: node.parse().expect("a name"),
        incarnation: ME,
        dialect,
        version: format!("0.{dialect}"),
        roles: vec![Role::Login],
        seams: Advertise { host: None, port: 1 },
        gateway: None,
        media: None,
        web: None,
        limits: Limits::default(),
        started_at: DateTime::default(),
    }
}

fn view(revision: i64, members: &[(&str, bool)]) -> View {
    let members = members.iter().map(|(node, is_draining)| {
        let info = info(node, DIALECT);
        (info.node.clone(), Member { info, is_draining: *is_draining })
    });
    View { revision, members: members.collect(), ..View::default() }
}

/// A candidate, its clock and the calls that it has made since they were last looked at.
struct Stage {
    candidate: Candidate,
    now: Instant,
}

impl Stage {
    fn new() -> Self {
        let now = Instant::now();
        Self { candidate: Candidate::new(now, &info("a", DIALECT), TTL), now }
    }

    /// One that has its lease, has joined at revision 5 and leads since revision 6.
    fn leading() -> Self {
        let mut stage = Self::new();
        stage.sees(&view(4, &[]), None, None);
        stage.asks(Request::Grant, Answer::Granted(LEASE, TTL));
        stage.asks(Request::Join { lease: LEASE, over: 0 }, Answer::Own { at: 5, own: Some(mine(5)) });
        stage.asks(Request::Stand(LEASE), Answer::Leader { at: 6, leader: Some(my_key(6)) });
        stage.asks_nothing();
        assert_eq!(stage.leads(), Some(Epoch(6)));
        stage
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.candidate.tick(self.now);
    }

    fn sees(&mut self, view: &View, own: Option<Registration>, leader: Option<LeaderKey>) {
        self.candidate.sight(self.now, &Sight { view, own, leader, strangers: &[] });
    }

    #[track_caller]
    fn asked(&mut self, request: Request) -> Call {
        let call = self.candidate.poll().expect("a call");
        assert_eq!(call.request, request);
        call
    }

    #[track_caller]
    fn asks(&mut self, request: Request, answer: Answer) {
        let call = self.asked(request);
        self.candidate.answered(self.now, &call, answer);
    }

    #[track_caller]
    fn asks_nothing(&mut self) {
        assert_eq!(self.candidate.poll(), None);
    }

    fn leads(&self) -> Option<Epoch> {
        self.candidate.leads(self.now)
    }
}

fn mine(revision: i64) -> Registration {
    Registration { incarnation: Some(ME), revision, lease: LEASE }
}

fn another(revision: i64) -> Registration {
    Registration { incarnation: Some(Incarnation(8)), revision, lease: LeaseId(80) }
}

fn my_key(epoch: i64) -> LeaderKey {
    LeaderKey { is_mine: true, epoch: Epoch(epoch), lease: LEASE }
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    let mut stage = Stage::leading();
    stage.passes(TTL / 3);
    let call = stage.asked(Request::KeepAlive(LEASE));
    stage.passes(TTL / 3);
    stage.candidate.answered(stage.now, &call, Answer::KeptAlive);
    assert_eq!(stage.candidate.lead().expect("leads").until, call.at + TTL * 39 / 40);
    // The keep-alive that was due while that one was on its way.
    let _lost = stage.asked(Request::KeepAlive(LEASE));
    stage.now = call.at + TTL * 39 / 40;
    assert_eq!(stage.leads(), None, "though etcd has the lease yet");
}

#[test]
fn a_lease_that_ran_out_here_and_not_there_holds_again_with_what_hangs_on_it() {
    let mut stage = Stage::leading();
    stage.passes(TTL * 2);
    assert_eq!(stage.leads(), None);
    stage.asks(Request::KeepAlive(LEASE), Answer::KeptAlive);
    assert_eq!(stage.leads(), Some(Epoch(6)));
}

#[test]
fn a_lost_lease_is_followed_by_another_and_everything_anew() {
    let mut stage = Stage::leading();
    stage.passes(TTL * 2);
    stage.asks(Request::KeepAlive(LEASE), Answer::LeaseLost);
    assert_eq!(stage.leads(), None);
    let other = LeaseId(71);
    stage.asks(Request::Grant, Answer::Granted(other, TTL));
    // Its own key still stands as far as it knows, so that is what it replaces; etcd says that it is gone.
    stage.asks(Request::Join { lease: other, over: 5 }, Answer::Own { at: 9, own: None });
    let own = Registration { lease: other, ..mine(10) };
    stage.asks(Request::Join { lease: other, over: 0 }, Answer::Own { at: 10, own: Some(own) });
    // The leader's key of the lost lease, if it is there yet, is no ground to lead.
    assert_eq!(stage.leads(), None);
    stage.asks(Request::Resign(Epoch(6)), Answer::Leader { at: 10, leader: None });
    let key = LeaderKey { lease: other, ..my_key(11) };
    stage.asks(Request::Stand(other), Answer::Leader { at: 11, leader: Some(key) });
    assert_eq!(stage.leads(), Some(Epoch(11)));
}

#[test]
fn an_unanswered_candidacy_that_was_won_is_found_in_the_view() {
    let mut stage = Stage::new();
    stage.sees(&view(4, &[]), None, None);
    stage.asks(Request::Grant, Answer::Granted(LEASE, TTL));
    stage.asks(Request::Join { lease: LEASE, over: 0 }, Answer::Own { at: 5, own: Some(mine(5)) });
    stage.asks(Request::Stand(LEASE), Answer::Failed);
    stage.asks_nothing();
    stage.sees(&view(6, &[("a", false)]), Some(mine(5)), Some(my_key(6)));
    assert_eq!(stage.leads(), Some(Epoch(6)));
    // A sight from before that changes nothing.
    stage.sees(&view(5, &[("a", false)]), Some(mine(5)), None);
    assert_eq!(stage.leads(), Some(Epoch(6)));
    stage.asks_nothing();
}

#[test]
fn a_given_up_epoch_stays_given_up_while_its_key_stands() {
    let mut stage = Stage::leading();
    let both = [("a", true), ("b", false)];
    stage.sees(&view(7, &both), Some(mine(5)), Some(my_key(6)));
    stage.asks(Request::Resign(Epoch(6)), Answer::Failed);
    // Wanted again; but the call that deletes the key may yet arrive.
    stage.sees(&view(8, &[("a", false), ("b", false)]), Some(mine(5)), Some(my_key(6)));
    assert_eq!(stage.leads(), None);
    stage.passes(TTL / 10);
    stage.asks(Request::Resign(Epoch(6)), Answer::Leader { at: 9, leader: None });
    stage.asks(Request::Stand(LEASE), Answer::Leader { at: 10, leader: Some(my_key(10)) });
    assert_eq!(stage.leads(), Some(Epoch(10)));
}

#[test]
fn the_last_one_that_can_lead_does_so_while_it_drains() {
    let mut stage = Stage::leading();
    stage.sees(&view(7, &[("a", true), ("b", true)]), Some(mine(5)), Some(my_key(6)));
    stage.asks_nothing();
    assert_eq!(stage.leads(), Some(Epoch(6)));
}

#[test]
fn the_newer_process_of_a_name_replaces_the_older() {
    let mut older = Stage::leading();
    older.sees(&view(9, &[]), Some(another(9)), Some(my_key(6)));
    assert_eq!(older.leads(), None);
    let replaced = Ended::Replaced { node: "a".parse().expect("a name"), by: Some(Incarnation(8)) };
    assert_eq!(older.candidate.ended(), Some(&replaced));
    older.asks(Request::Resign(Epoch(6)), Answer::Leader { at: 10, leader: None });
    assert!(!older.candidate.is_over());
    older.asks(Request::Revoke(LEASE), Answer::Revoked);
    assert!(older.candidate.is_over() && older.candidate.deadline().is_none());

    let mut newer = Stage::new();
    newer.sees(&view(9, &[]), Some(another(9)), None);
    newer.asks(Request::Grant, Answer::Granted(LEASE, TTL));
    newer.asks(Request::Join { lease: LEASE, over: 9 }, Answer::Own { at: 10, own: Some(mine(10)) });
    assert_eq!(newer.candidate.ended(), None);
    assert!(newer.candidate.is_member());
}

#[test]
fn who_joins_between_the_look_and_the_join_is_the_newer_process() {
    let mut stage = Stage::new();
    stage.sees(&view(4, &[]), None, None);
    stage.asks(Request::Grant, Answer::Granted(LEASE, TTL));
    stage.asks(Request::Join { lease: LEASE, over: 0 }, Answer::Own { at: 9, own: Some(another(8)) });
    assert!(matches!(stage.candidate.ended(), Some(Ended::Replaced { .. })));
    stage.asks(Request::Revoke(LEASE), Answer::Revoked);
    assert!(stage.candidate.is_over());
}

#[test]
fn another_dialect_among_the_members_is_an_error_that_names_both() {
    let mut members = BTreeMap::new();
    let other = info("b", DIALECT + 1);
    members.insert(other.node.clone(), Member { info: other, is_draining: false });
    let view = View { revision: 4, members, ..View::default() };
    let mut stage = Stage::new();
    stage.sees(&view, None, None);
    stage.asks_nothing();
    assert!(stage.candidate.is_over());
    assert_eq!(
        stage.candidate.ended().expect("ended").to_string(),
        "node b (version 0.2) speaks dialect 2, this node (version 0.1) speaks dialect 1"
    );
}

#[test]
fn leaving_resigns_marks_it_and_ends_the_lease() {
    let mut stage = Stage::leading();
    stage.candidate.leave(stage.now);
    assert_eq!(stage.leads(), None);
    stage.asks(Request::Resign(Epoch(6)), Answer::Leader { at: 7, leader: None });
    stage.asks(Request::Depart { over: 5 }, Answer::Failed);
    stage.asks_nothing();
    stage.passes(TTL / 10);
    stage.asks(Request::Depart { over: 5 }, Answer::Own { at: 8, own: None });
    assert!(!stage.candidate.is_member());
    stage.asks(Request::Revoke(LEASE), Answer::Failed);
    assert!(!stage.candidate.is_over());
    stage.passes(TTL / 10);
    stage.asks(Request::Revoke(LEASE), Answer::LeaseLost);
    assert!(stage.candidate.is_over());
}

#[test]
fn who_has_no_key_of_its_own_leaves_without_a_mark() {
    let mut stage = Stage::new();
    stage.sees(&view(4, &[]), None, None);
    stage.asks(Request::Grant, Answer::Granted(LEASE, TTL));
    stage.asks(Request::Join { lease: LEASE, over: 0 }, Answer::Failed);
    stage.candidate.leave(stage.now);
    stage.passes(TTL / 10);
    stage.asks(Request::Revoke(LEASE), Answer::Revoked);
    assert!(stage.candidate.is_over());

    // Another process has the name by then: it is that one's key, and not to be deleted.
    let mut stage = Stage::leading();
    stage.candidate.leave(stage.now);
    stage.asks(Request::Resign(Epoch(6)), Answer::Leader { at: 7, leader: None });
    stage.asks(Request::Depart { over: 5 }, Answer::Own { at: 9, own: Some(another(8)) });
    stage.asks(Request::Revoke(LEASE), Answer::Revoked);
    assert!(stage.candidate.is_over());
}

#[test]
fn an_etcd_that_is_away_is_asked_again_at_a_steady_pace() {
    let mut stage = Stage::new();
    stage.sees(&view(4, &[]), None, None);
    for _ in 0..100 {
        stage.asks(Request::Grant, Answer::Failed);
        stage.asks_nothing();
        let wait = stage.candidate.deadline().expect("a deadline") - stage.now;
        assert_eq!(wait, TTL / 10);
        stage.passes(wait);
    }
}

#[test]
fn an_etcd_that_has_lost_its_data_is_not_asked_in_a_loop() {
    let mut stage = Stage::leading();
    stage.passes(TTL / 3);
    stage.asks(Request::KeepAlive(LEASE), Answer::LeaseLost);
    let other = LeaseId(71);
    stage.asks(Request::Grant, Answer::Granted(other, TTL));
    let own = Registration { lease: other, ..mine(2) };
    stage.asks(Request::Join { lease: other, over: 5 }, Answer::Own { at: 2, own: Some(own) });
    stage.asks_nothing();
    assert!(!stage.candidate.is_member() && stage.leads().is_none());
    stage.passes(TTL / 10);
    stage.asked(Request::Join { lease: other, over: 5 });
}
