//! What a cluster's leader writes: once, and not under an epoch that is over.

use db::testing::TestDb;
use db::{LeaderError, NodeEventKind, NodeLife, NodeOnRecord, Page};
use model::Scope;

use crate::support::terminal;

fn life(incarnation: u64) -> NodeLife {
    NodeLife { node: "gw1".to_owned(), incarnation }
}

#[tokio::test]
async fn what_an_old_leader_still_writes_is_refused() {
    let test = TestDb::new().await;
    let db = test.db();
    assert!(db.node_happened(7, &life(1), NodeEventKind::Joined, "").await.expect("written"));
    assert!(db.node_happened(9, &life(1), NodeEventKind::Draining, "").await.expect("a later leader's"));

    let old = db.node_happened(8, &life(1), NodeEventKind::Drained, "").await;
    assert!(matches!(old, Err(LeaderError::OldEpoch { given: 8, seen: 9 })), "{old:?}");
    let old = db.node_lost(8, &life(1)).await;
    assert!(matches!(old, Err(LeaderError::OldEpoch { given: 8, seen: 9 })), "{old:?}");

    let events = db.node_events(&Scope::platform(), None, &Page::default()).await.expect("read").items;
    let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.epoch)).collect();
    assert_eq!(kinds, [(NodeEventKind::Draining, 9), (NodeEventKind::Joined, 7)], "the latest first");
}

#[tokio::test]
async fn a_node_joins_and_is_lost_once_in_each_of_its_lives() {
    let test = TestDb::new().await;
    let db = test.db();
    for (life, is_new) in [(life(u64::MAX), true), (life(u64::MAX), false), (life(2), true)] {
        assert_eq!(db.node_happened(1, &life, NodeEventKind::Joined, "").await.expect("written"), is_new);
    }
    // it may be drained as often as somebody likes
    for _ in 0..2 {
        assert!(db.node_happened(1, &life(2), NodeEventKind::Drained, "said twice").await.expect("written"));
    }
    let mut page = Page::new(None, Some(3)).expect("valid");
    let first = db.node_events(&Scope::platform(), Some("gw1"), &page).await.expect("read");
    assert_eq!(first.items.len(), 3);
    page = page.at(first.next_cursor.expect("there is one more"));
    let last = db.node_events(&Scope::platform(), Some("gw1"), &page).await.expect("read");
    assert_eq!((last.items.len(), last.next_cursor), (1, None));
    assert!(
        db.node_events(&Scope::platform(), Some("gw2"), &Page::default())
            .await
            .expect("read")
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_lost_node_s_terminals_are_offline_but_not_those_that_moved_on() {
    let test = TestDb::new().await;
    let db = test.db();
    let (stays, moves) = (terminal(&test, "1").await, terminal(&test, "2").await);
    let peers = |terminal| [(terminal, "10.0.0.9".to_owned())];
    for terminal in [stays, moves] {
        db.sessions_opened("gw1", &peers(terminal)).await.expect("opened");
    }
    db.sessions_opened("gw2", &peers(moves)).await.expect("opened");
    assert_eq!(db.node_lost(1, &life(1)).await.expect("written"), [stays]);
    assert!(db.node_lost(1, &life(1)).await.expect("written").is_empty());
}

#[tokio::test]
async fn a_node_that_left_is_not_lost_and_one_that_is_back_keeps_its_terminals() {
    let test = TestDb::new().await;
    let db = test.db();
    let held = terminal(&test, "1").await;
    let opens = async || {
        db.sessions_opened("gw1", &[(held, "10.0.0.9".to_owned())]).await.expect("opened");
    };
    opens().await;
    assert!(db.node_left(1, &life(1), true).await.expect("written").is_empty(), "they are its next life's");
    assert_eq!(db.node_left(1, &life(1), false).await.expect("written"), [held]);
    opens().await;
    assert_eq!(db.node_lost(1, &life(1)).await.expect("written"), [held]);
    let events = db.node_events(&Scope::platform(), None, &Page::default()).await.expect("read").items;
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [NodeEventKind::Left], "once, and not lost besides");
}

#[tokio::test]
async fn the_next_leader_finds_on_record_who_was_there() {
    let test = TestDb::new().await;
    let db = test.db();
    let happens = async |node: &str, incarnation, kind| {
        let life = NodeLife { node: node.to_owned(), incarnation };
        db.node_happened(1, &life, kind, "").await.expect("written");
    };
    // one that runs, in its second life; one that ended; one that is lost but got a terminal after that; a stranger
    happens("gw1", 1, NodeEventKind::Joined).await;
    happens("gw1", 1, NodeEventKind::Lost).await;
    happens("gw1", u64::MAX, NodeEventKind::Joined).await;
    happens("gw1", u64::MAX, NodeEventKind::Draining).await;
    happens("gw1", u64::MAX, NodeEventKind::Drained).await;
    happens("gw2", 2, NodeEventKind::Joined).await;
    happens("gw2", 2, NodeEventKind::Left).await;
    happens("gw3", 3, NodeEventKind::Joined).await;
    happens("gw3", 3, NodeEventKind::Lost).await;
    for (sim, node) in [("1", "gw3"), ("2", "gw3"), ("3", "gw4")] {
        let terminal = terminal(&test, sim).await;
        db.sessions_opened(node, &[(terminal, "10.0.0.9".to_owned())]).await.expect("opened");
    }

    let found = async |max| {
        let found = db.nodes_on_record(max).await.expect("read");
        let told = |NodeOnRecord { life, drain }| (life.node, life.incarnation, drain);
        found.into_iter().map(told).collect::<Vec<_>>()
    };
    let drained = Some(NodeEventKind::Drained);
    let expected = [("gw1", u64::MAX, drained), ("gw3", 3, None), ("gw4", 0, None)]
        .map(|(node, life, drain)| (node.to_owned(), life, drain));
    assert_eq!(found(10).await, expected);
    assert_eq!(found(2).await, expected[..2]);
}

#[tokio::test]
async fn a_session_is_upheld_unless_another_one_was_opened_since() {
    let test = TestDb::new().await;
    let db = test.db();
    let (stays, moves, is_on) =
        (terminal(&test, "1").await, terminal(&test, "2").await, terminal(&test, "3").await);
    let mut held = Vec::new();
    for terminal in [stays, moves, is_on] {
        let opened = db.sessions_opened("gw1", &[(terminal, "10.0.0.9".to_owned())]).await.expect("opened");
        held.push((terminal, opened[&terminal].epoch));
    }
    db.node_lost(1, &life(1)).await.expect("written");
    let opened = db.sessions_opened("gw2", &[(moves, "10.0.0.9".to_owned())]).await.expect("opened");
    db.sessions_closed(&[(moves, opened[&moves].epoch)]).await.expect("closed");
    assert_eq!(db.sessions_upheld(&held[2..]).await.expect("upheld"), [is_on]);
    assert_eq!(db.sessions_upheld(&held).await.expect("upheld"), [stays]);
    assert!(db.sessions_upheld(&held).await.expect("upheld").is_empty());
    assert!(!db.terminal(&Scope::platform(), moves).await.expect("there").online, "it left the other one");
}
