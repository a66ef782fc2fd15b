//! Who holds a terminal, whatever order it is heard in.

use std::collections::BTreeSet;

use super::*;
use crate::Role;
use crate::testing::{member, node};

fn stamp(epoch: i64, since_ms: i64) -> LinkStamp {
    LinkStamp { epoch: Some(epoch), since_ms }
}

/// Of a session that the database has not opened.
fn unopened(since_ms: i64) -> LinkStamp {
    LinkStamp { epoch: None, since_ms }
}

fn up(terminal: i64, stamp: LinkStamp) -> LinkChange {
    LinkChange { terminal: TerminalId(terminal), stamp, is_up: true, trace: None }
}

fn down(terminal: i64, stamp: LinkStamp) -> LinkChange {
    LinkChange { is_up: false, ..up(terminal, stamp) }
}

fn of(directory: &Directory, terminal: i64) -> Option<&str> {
    directory.of(TerminalId(terminal)).map(NodeId::as_str)
}

/// `terminal gateway since`, a line each.
fn stale(links: Vec<StaleLink>) -> Vec<String> {
    links.iter().map(|link| format!("{} {} {}", link.terminal, link.gateway, link.stamp.since_ms)).collect()
}

fn holds(directory: &Directory) {
    let counted: usize = directory.by_terminal.values().map(Vec::len).sum();
    assert_eq!(directory.claims, counted);
    assert_eq!(directory.sources.values().map(|source| source.claims).sum::<usize>(), counted);
    assert!(directory.by_terminal.values().all(|claims| !claims.is_empty()));
}

#[test]
fn a_late_disconnect_touches_no_newer_link() {
    let mut directory = Directory::default();
    let (a, b) = (directory.subscribe(&node("a")), directory.subscribe(&node("b")));
    directory.snapshot(&a, []);
    directory.snapshot(&b, []);
    assert!(directory.changed(&a, up(1, stamp(5, 100))).is_empty());
    assert_eq!(stale(directory.changed(&b, up(1, stamp(6, 200)))), ["1 a 100"]);
    assert_eq!(of(&directory, 1), Some("b"));
    assert!(directory.changed(&a, down(1, stamp(5, 100))).is_empty());
    assert_eq!(of(&directory, 1), Some("b"));

    // At one gateway: the end of the older link comes after the beginning of the newer one.
    directory.changed(&b, up(1, stamp(7, 300)));
    directory.changed(&b, down(1, stamp(6, 200)));
    assert_eq!(of(&directory, 1), Some("b"));
    directory.changed(&b, down(1, stamp(7, 300)));
    assert_eq!(of(&directory, 1), None);
    holds(&directory);
}

#[test]
fn a_terminal_known_to_two_gateways_at_once_is_where_its_newest_session_is() {
    let newest = |one: LinkStamp, other: LinkStamp| {
        let mut held = BTreeSet::new();
        for turned in [false, true] {
            let mut directory = Directory::default();
            let (a, b) = (directory.subscribe(&node("a")), directory.subscribe(&node("b")));
            let mut claims = [(&a, one), (&b, other)];
            if turned {
                claims.reverse();
            }
            let lost: Vec<_> =
                claims.iter().flat_map(|(from, stamp)| directory.changed(from, up(1, *stamp))).collect();
            let holder = of(&directory, 1).expect("held").to_owned();
            assert_eq!(lost.len(), 1);
            assert_ne!(lost[0].gateway.as_str(), holder);
            held.insert(holder);
        }
        assert_eq!(held.len(), 1, "in whatever order");
        held.pop_first().expect("one")
    };
    assert_eq!(newest(stamp(5, 900), stamp(6, 100)), "b", "the higher epoch, whatever the clocks say");
    assert_eq!(newest(stamp(5, 900), unopened(100)), "a", "the later time where there is no epoch");
    assert_eq!(newest(stamp(5, 100), unopened(900)), "b");
    assert_eq!(newest(unopened(100), unopened(900)), "b");
    assert_eq!(newest(unopened(100), unopened(100)), "b", "somebody");
}

#[test]
fn a_session_that_gets_its_epoch_later_may_turn_out_to_be_the_newer_one() {
    let mut directory = Directory::default();
    let (a, b) = (directory.subscribe(&node("a")), directory.subscribe(&node("b")));
    directory.changed(&a, up(1, stamp(4, 500)));
    assert_eq!(stale(directory.changed(&b, up(1, unopened(400)))), ["1 b 400"]);
    assert_eq!(stale(directory.changed(&b, up(1, stamp(5, 400)))), ["1 a 500"]);
    assert_eq!(of(&directory, 1), Some("b"));
    assert_eq!(directory.stamp_of(TerminalId(1)), Some(stamp(5, 400)));
    assert!(
        directory.changed(&b, down(1, unopened(400))).is_empty(),
        "it ended before it heard of its epoch"
    );
    assert_eq!(of(&directory, 1), Some("a"));
}

#[test]
fn three_claims_have_the_same_holder_in_every_order() {
    // Pair by pair each of these is beaten by one of the others.
    let claims = [("a", stamp(5, 300)), ("b", unopened(200)), ("c", stamp(6, 100))];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let holders: BTreeSet<_> = orders
        .iter()
        .map(|order| {
            let mut directory = Directory::default();
            for place in order {
                let (name, stamp) = claims[*place];
                let from = directory.subscribe(&node(name));
                directory.changed(&from, up(1, stamp));
            }
            of(&directory, 1).map(str::to_owned)
        })
        .collect();
    assert_eq!(holders.len(), 1, "{holders:?}");
}

#[test]
fn a_snapshot_replaces_what_was_known_and_an_older_stream_is_not_believed() {
    let mut directory = Directory::default();
    let old = directory.subscribe(&node("a"));
    directory.snapshot(&old, [(TerminalId(1), stamp(1, 10)), (TerminalId(2), stamp(1, 10))]);
    let new = directory.subscribe(&node("a"));
    assert_eq!(of(&directory, 1), Some("a"), "what was known stays until the snapshot");
    assert!(directory.snapshot(&old, []).is_empty());
    directory.changed(&old, down(1, stamp(1, 10)));
    assert_eq!(of(&directory, 1), Some("a"));

    directory.snapshot(&new, [(TerminalId(2), stamp(2, 20)), (TerminalId(3), stamp(1, 20))]);
    assert_eq!([1, 2, 3].map(|terminal| of(&directory, terminal)), [None, Some("a"), Some("a")]);
    // Changes from before the snapshot, which came with it: both are older than what it shows.
    directory.changed(&new, up(2, stamp(1, 10)));
    directory.changed(&new, down(2, stamp(1, 10)));
    assert_eq!(directory.stamp_of(TerminalId(2)), Some(stamp(2, 20)));
    directory.changed(&old, up(9, stamp(1, 30)));
    directory.snapshot(&old, [(TerminalId(9), stamp(1, 30))]);
    assert_eq!(directory.len(), 2);
    holds(&directory);
}

#[test]
fn a_snapshot_tells_of_the_links_that_it_makes_stale() {
    let mut directory = Directory::default();
    let (a, b) = (directory.subscribe(&node("a")), directory.subscribe(&node("b")));
    directory.snapshot(&a, [(TerminalId(1), stamp(1, 10)), (TerminalId(2), stamp(5, 10))]);
    let lost = directory.snapshot(&b, [(TerminalId(1), stamp(2, 20)), (TerminalId(2), stamp(4, 20))]);
    assert_eq!(stale(lost), ["1 a 10", "2 b 20"]);
    assert_eq!([of(&directory, 1), of(&directory, 2)], [Some("b"), Some("a")]);
}

#[test]
fn a_gateway_that_leaves_takes_its_terminals_along_and_no_others() {
    let mut directory = Directory::default();
    let (a, b) = (directory.subscribe(&node("a")), directory.subscribe(&node("b")));
    directory.snapshot(&a, [(TerminalId(1), stamp(1, 10)), (TerminalId(2), stamp(9, 10))]);
    directory.snapshot(&b, [(TerminalId(2), stamp(8, 20)), (TerminalId(3), stamp(1, 20))]);
    let mut view = View::default();
    view.members.insert(node("b"), member("b", &[Role::Gateway]));
    directory.follow(&view);
    assert_eq!([1, 2, 3].map(|terminal| of(&directory, terminal)), [None, Some("b"), Some("b")]);
    directory.changed(&a, up(4, stamp(1, 10)));
    assert_eq!(of(&directory, 4), None, "who is not in the View is not believed");
    directory.forget(TerminalId(3), &node("a"));
    assert_eq!(of(&directory, 3), Some("b"));
    directory.forget(TerminalId(3), &node("b"));
    assert_eq!(of(&directory, 3), None);
    holds(&directory);
    directory.follow(&View::default());
    assert!(directory.is_empty());
    holds(&directory);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut directory = Directory::default();
    let a = directory.subscribe(&node("a"));
    directory.snapshot(&a, (0..CLAIMS_MAX as i64 + 10).map(|terminal| (TerminalId(terminal), stamp(1, 1))));
    assert_eq!(directory.len(), CLAIMS_MAX);
    directory.changed(&a, up(0, stamp(2, 2)));
    assert_eq!(directory.stamp_of(TerminalId(0)), Some(stamp(2, 2)), "who is known stays known");
    directory.changed(&a, down(1, stamp(1, 1)));
    directory.changed(&a, up(-1, stamp(1, 1)));
    assert_eq!(of(&directory, -1), Some("a"));
    assert_eq!(directory.len(), CLAIMS_MAX);
}
