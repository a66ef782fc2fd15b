//! Plans as text, a line a step.

use super::*;
use crate::Role;
use crate::testing::{LIFE, member, node, sighting};

/// A cluster whose leader `login` plans once a second.
struct Cluster {
    now: Instant,
    view: View,
    sightings: Sightings,
    copies: Vec<SpoolCopy>,
    roll: Roll,
    policy: Policy,
}

impl Cluster {
    /// Two login servers and gateways with so many terminals each, long settled.
    fn new<const N: usize>(gateways: [(&str, u32); N]) -> Self {
        let mut cluster = Self {
            now: Instant::now(),
            view: View::default(),
            sightings: Sightings::new(),
            copies: Vec::new(),
            roll: Roll::default(),
            policy: Policy::default(),
        };
        for name in ["login", "standby"] {
            cluster.join(name, &[Role::Login], 0);
        }
        for (name, terminals) in gateways {
            cluster.join(name, &[Role::Gateway], terminals);
        }
        cluster.observe();
        cluster.now += cluster.policy.settle;
        cluster
    }

    fn join(&mut self, name: &str, roles: &[Role], terminals: u32) {
        self.view.members.insert(node(name), member(name, roles));
        self.sightings.insert(node(name), sighting(terminals));
    }

    fn observe(&mut self) {
        self.roll.observe(self.now, &self.view, &self.sightings);
    }

    /// The plan of a second later, ordered.
    fn plan(&mut self) -> String {
        self.now += Duration::from_secs(1);
        self.observe();
        let me = node("login");
        let scene = Scene { me: &me, view: &self.view, sightings: &self.sightings, copies: &self.copies };
        let steps = plan(self.now, &scene, &self.roll, &self.policy);
        for step in &steps {
            self.roll.ordered(self.now, step);
        }
        steps.iter().map(|step| format!("{step}\n")).collect()
    }

    fn lapse(&mut self, name: &str) {
        self.view.members.remove(&node(name));
    }

    fn leave(&mut self, name: &str) {
        self.lapse(name);
        self.view.left.insert(node(name), LIFE);
    }

    fn silence(&mut self, name: &str) {
        self.sightings.get_mut(&node(name)).expect("seen once").missed = 3;
    }

    fn hear(&mut self, name: &str, terminals: u32) {
        self.sightings.insert(node(name), sighting(terminals));
    }

    fn drain(&mut self, name: &str) {
        self.view.members.get_mut(&node(name)).expect("a member").is_draining = true;
    }
}

#[test]
fn a_node_is_lost_when_both_witnesses_say_so_and_once() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10), ("c", 10)]);
    assert_eq!(cluster.plan(), "");
    cluster.lapse("a");
    assert_eq!(cluster.plan(), "", "it answers");
    cluster.silence("a");
    assert_eq!(cluster.plan(), "a is lost\n");
    assert_eq!(cluster.plan(), "");
    cluster.silence("b");
    assert_eq!(cluster.plan(), "", "its lease holds");
    cluster.lapse("b");
    assert_eq!(cluster.plan(), "b is lost\n");

    cluster.join("a", &[Role::Gateway], 0);
    assert_eq!(cluster.plan(), "");
    cluster.lapse("a");
    cluster.silence("a");
    assert_eq!(cluster.plan(), "a is lost\n", "another time");
}

#[test]
fn a_node_that_says_so_has_left_at_once_and_is_never_lost() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10), ("c", 10)]);
    cluster.leave("a");
    assert_eq!(cluster.plan(), "a left\n", "though it was seen a moment ago");
    cluster.silence("a");
    assert_eq!(cluster.plan(), "", "once, while the mark is not taken away yet");
    cluster.view.left.clear();
    cluster.now += cluster.policy.believe_after;
    assert_eq!(cluster.plan(), "");

    // What could not be written is planned again.
    cluster.leave("b");
    let me = node("login");
    cluster.observe();
    let scene = Scene { me: &me, view: &cluster.view, sightings: &cluster.sightings, copies: &[] };
    let step = Step::Left { node: node("b"), incarnation: LIFE, is_back: false };
    assert_eq!(plan(cluster.now, &scene, &cluster.roll, &cluster.policy), [step]);
    assert_eq!(cluster.plan(), "b left\n");
}

#[test]
fn a_node_that_is_back_keeps_its_terminals() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10)]);
    cluster.view.left.insert(node("a"), Incarnation(1));
    assert_eq!(cluster.plan(), "a left and is back\n");
    assert_eq!(cluster.plan(), "");
    // In that life it leaves, too.
    cluster.leave("a");
    assert_eq!(cluster.plan(), "a left\n");
    // And comes back, and dies.
    cluster.join("a", &[Role::Gateway], 0);
    cluster.view.members.get_mut(&node("a")).expect("a member").info.incarnation = Incarnation(9);
    assert_eq!(cluster.plan(), "");
    cluster.lapse("a");
    cluster.silence("a");
    assert_eq!(cluster.plan(), "a is lost\n");
}

#[test]
fn who_left_while_nobody_led_is_not_waited_for_by_the_next_leader() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10)]);
    cluster.leave("a");
    cluster.sightings.remove(&node("a"));
    cluster.roll = Roll::default();
    cluster.roll.expect(["a", "b", "login", "standby"].map(|name| (node(name), LIFE)));
    assert_eq!(cluster.plan(), "a left\n");
    cluster.view.left.clear();
    cluster.now += cluster.policy.settle;
    assert_eq!(cluster.plan(), "", "it is on record, but not lost");
}

#[test]
fn most_nodes_may_leave_at_once() {
    let mut cluster = Cluster::new([("a", 500), ("b", 10), ("c", 10)]);
    for name in ["a", "b", "standby"] {
        cluster.silence(name);
        cluster.leave(name);
    }
    assert_eq!(cluster.plan(), "a left\nb left\nstandby left\n");
    cluster.silence("c");
    cluster.lapse("c");
    assert_eq!(cluster.plan(), "c is lost\n", "the leader is not cut off for those that left");

    // One that is cut off takes their word all the same, and nothing else.
    let mut cluster = Cluster::new([("a", 500), ("b", 10), ("c", 10)]);
    for name in ["a", "b", "standby"] {
        cluster.silence(name);
        cluster.lapse(name);
    }
    cluster.leave("c");
    assert_eq!(cluster.plan(), "c left\n");
}

#[test]
fn when_most_nodes_vanish_at_once_the_leader_is_cut_off_and_plans_nothing() {
    let mut cluster = Cluster::new([("a", 500), ("b", 10), ("c", 10)]);
    for name in ["a", "b", "standby"] {
        cluster.silence(name);
        cluster.lapse(name);
    }
    assert_eq!(cluster.plan(), "", "three of four others");
    cluster.join("a", &[Role::Gateway], 500);
    assert_eq!(cluster.plan(), "b is lost\nstandby is lost\n", "two of four");

    // One after the other is nothing unusual: who is lost does not count as vanishing.
    let mut cluster = Cluster::new([("a", 10), ("b", 10), ("c", 10)]);
    for name in ["a", "b", "c"] {
        cluster.silence(name);
        cluster.lapse(name);
        assert_eq!(cluster.plan(), format!("{name} is lost\n"));
    }
    cluster.silence("standby");
    cluster.lapse("standby");
    assert_eq!(cluster.plan(), "standby is lost\n", "one alone proves nothing");
}

#[test]
fn most_nodes_that_stay_away_are_believed_in_the_end() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10)]);
    for name in ["a", "b", "standby"] {
        cluster.silence(name);
        cluster.lapse(name);
    }
    assert_eq!(cluster.plan(), "");
    cluster.now += cluster.policy.believe_after - Duration::from_secs(2);
    assert_eq!(cluster.plan(), "");
    assert_eq!(cluster.plan(), "a is lost\nb is lost\nstandby is lost\n");
}

#[test]
fn a_leader_that_has_heard_of_nobody_yet_plans_nothing() {
    let mut cluster = Cluster::new([("a", 500), ("b", 10), ("c", 10)]);
    cluster.sightings.clear();
    cluster.roll = Roll::default();
    cluster.lapse("c");
    assert_eq!(cluster.plan(), "");
}

#[test]
fn gateways_above_their_share_release_what_is_too_much_bit_by_bit() {
    let mut cluster = Cluster::new([("a", 500), ("b", 300), ("c", 100)]);
    assert_eq!(cluster.plan(), "a releases 100\n");
    assert_eq!(cluster.plan(), "", "it rests");
    cluster.hear("a", 400);
    cluster.hear("c", 200);
    cluster.now += cluster.policy.release_every;
    assert_eq!(cluster.plan(), "a releases 100\n");
    cluster.hear("a", 300);
    cluster.hear("c", 300);
    cluster.now += cluster.policy.release_every;
    assert_eq!(cluster.plan(), "");
}

#[test]
fn what_is_within_the_tolerance_stays() {
    let mut cluster = Cluster::new([("a", 315), ("b", 300), ("c", 285)]);
    assert_eq!(cluster.plan(), "", "5 % above and below");
    cluster.hear("c", 282);
    cluster.hear("b", 303);
    assert_eq!(cluster.plan(), "a releases 15\nb releases 3\n", "one far below its share is enough");
    let mut few = Cluster::new([("a", 4), ("b", 2), ("c", 1)]);
    assert_eq!(few.plan(), "", "not worth moving");
}

#[test]
fn what_shares_leave_over_stays_where_it_is() {
    let mut cluster = Cluster::new([("a", 2), ("b", 3), ("c", 5)]);
    cluster.policy.slack = 0;
    for name in ["b", "c"] {
        cluster.view.members.get_mut(&node(name)).expect("a member").info.limits.terminals = 3_000;
    }
    // Shares of 1.43, 4.29 and 4.29: b lacks one, and nobody has one more than its share rounded up.
    assert_eq!(cluster.plan(), "c releases 1\n");
    cluster.hear("b", 4);
    cluster.hear("c", 4);
    cluster.now += cluster.policy.release_every;
    assert_eq!(cluster.plan(), "");
}

#[test]
fn shares_follow_the_limits() {
    let mut cluster = Cluster::new([("a", 100), ("b", 200)]);
    cluster.view.members.get_mut(&node("b")).expect("a member").info.limits.terminals = 2_000;
    assert_eq!(cluster.plan(), "");
    cluster.hear("a", 150);
    cluster.hear("b", 150);
    assert_eq!(cluster.plan(), "a releases 50\n");
}

#[test]
fn a_draining_gateway_gives_away_everything_that_the_others_have_room_for() {
    let mut cluster = Cluster::new([("a", 150), ("b", 150), ("c", 30)]);
    cluster.drain("c");
    assert_eq!(cluster.plan(), "c releases 30\n");
    cluster.drain("b");
    cluster.hear("a", 950);
    assert_eq!(cluster.plan(), "b releases 50\n", "there is room for fifty");
    cluster.drain("a");
    cluster.now += cluster.policy.release_every;
    assert_eq!(cluster.plan(), "", "there is nowhere to go");
}

#[test]
fn nothing_is_moved_while_nodes_come_and_go() {
    let mut cluster = Cluster::new([("a", 600), ("b", 10), ("c", 10)]);
    cluster.silence("b");
    assert_eq!(cluster.plan(), "", "what b carries is not known");
    cluster.hear("b", 10);
    assert_eq!(cluster.plan(), "", "it has just come back");
    cluster.now += cluster.policy.settle;
    assert_eq!(cluster.plan(), "a releases 100\n");
}

#[test]
fn a_spool_copy_is_stored_by_its_holder_when_the_gateway_does_not_come_back() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10), ("c", 10)]);
    let copy = |origin: &str, holder: &str| SpoolCopy {
        origin: node(origin),
        incarnation: LIFE,
        holder: node(holder),
    };
    cluster.copies = vec![copy("a", "b"), copy("a", "c"), copy("b", "c"), copy("stranger", "b")];
    assert_eq!(cluster.plan(), "");
    cluster.lapse("a");
    cluster.silence("a");
    assert_eq!(cluster.plan(), "a is lost\n");
    cluster.now += cluster.policy.adopt_after - Duration::from_secs(1);
    cluster.silence("c");
    let planned = cluster.plan();
    assert_eq!(planned, "b stores the spool of a\nb stores the spool of stranger\n", "c does not answer");
    cluster.hear("c", 10);
    assert_eq!(cluster.plan(), "c stores the spool of a\n");
    assert_eq!(cluster.plan(), "");
    cluster.copies = vec![copy("a", "c")];
    cluster.now += cluster.policy.adopt_after;
    assert_eq!(cluster.plan(), "c stores the spool of a\n", "it still has it: said again");
    cluster.join("a", &[Role::Gateway], 0);
    cluster.now += cluster.policy.adopt_after;
    assert_eq!(cluster.plan(), "", "a is back and stores it itself");
}

#[test]
fn a_copy_of_a_life_that_is_over_is_stored_although_the_gateway_is_there() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10)]);
    let copy = |incarnation| SpoolCopy { origin: node("a"), incarnation, holder: node("b") };
    // What its disk lost, it cannot tell of.
    cluster.copies = vec![copy(Incarnation(1)), copy(LIFE)];
    assert_eq!(cluster.plan(), "", "it may have its spool still");
    cluster.now += cluster.policy.adopt_after;
    assert_eq!(
        cluster.plan(),
        "b stores the spool of a
"
    );
    assert_eq!(cluster.plan(), "", "not what it writes now");
    cluster.copies = vec![copy(LIFE)];
    cluster.now += 2 * cluster.policy.adopt_after;
    assert_eq!(cluster.plan(), "");
}

#[test]
fn a_node_that_went_with_the_leader_is_lost_for_the_next_one() {
    let mut cluster = Cluster::new([("a", 10), ("b", 10)]);
    cluster.lapse("a");
    cluster.sightings.remove(&node("a"));
    cluster.roll = Roll::default();
    cluster.roll.expect(["a", "b", "login", "standby"].map(|name| (node(name), LIFE)));
    assert_eq!(cluster.plan(), "", "it may be on its way back");
    cluster.now += cluster.policy.settle - Duration::from_secs(2);
    assert_eq!(cluster.plan(), "");
    assert_eq!(
        cluster.plan(),
        "a is lost
"
    );
    assert_eq!(cluster.plan(), "", "once");

    cluster.join("a", &[Role::Gateway], 0);
    assert_eq!(cluster.plan(), "");
    cluster.lapse("a");
    cluster.silence("a");
    assert_eq!(
        cluster.plan(),
        "a is lost
",
        "at once, as any other"
    );
}

#[test]
fn nodes_on_record_are_no_sign_that_the_leader_is_cut_off() {
    let mut cluster = Cluster::new([("a", 500), ("b", 10)]);
    cluster.roll.expect(["old1", "old2", "old3", "old4"].map(|name| (node(name), LIFE)));
    cluster.now += cluster.policy.settle;
    assert_eq!(cluster.plan(), "");
    cluster.now += cluster.policy.settle;
    assert_eq!(cluster.plan(), "old1 is lost\nold2 is lost\nold3 is lost\nold4 is lost\na releases 100\n");
}

#[test]
fn what_the_roll_remembers_is_bounded() {
    let mut cluster = Cluster::new([("a", 10)]);
    for number in 0..GONE_MAX + 50 {
        let name = format!("g{number}");
        cluster.join(&name, &[Role::Gateway], 0);
        cluster.observe();
        cluster.lapse(&name);
        cluster.silence(&name);
        cluster.plan();
    }
    assert!(cluster.roll.nodes.len() <= GONE_MAX + 3, "{}", cluster.roll.nodes.len());
}
