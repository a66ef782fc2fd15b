//! Who leads.

use std::time::Instant;

use cluster::{Epoch, Fence, OldEpoch};

use crate::node::{Freezable, id, joined, leader_after, login, until};
use crate::server::Server;

#[tokio::test]
async fn two_nodes_elect_one_leader_and_both_know_it() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let leader = leader_after(&a.views(), None).await;
    assert_eq!(leader_after(&b.views(), None).await, leader);
    let (chosen, other) = if leader.node == id("a") { (&a, &b) } else { (&b, &a) };
    let lead = until(&chosen.leads(), "it knows that it leads", Option::is_some).await.expect("leads");
    assert_eq!((lead.epoch, chosen.epoch()), (leader.epoch, Some(leader.epoch)));
    assert_eq!(other.epoch(), None);
    assert_eq!((a.fence().seen(), b.fence().seen()), (leader.epoch, leader.epoch));
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test]
async fn a_leader_that_dies_is_followed_when_its_lease_has_run_out() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let first = leader_after(&a.views(), None).await;
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let views = b.views();
    until(&views, "b sees both", |view| view.members.len() == 2).await;
    drop(a);
    let second = leader_after(&views, Some(first.epoch.0)).await;
    assert_eq!(second.node, id("b"));
    until(&b.leads(), "b leads", |lead| lead.is_some_and(|lead| lead.epoch == second.epoch)).await;
    until(&views, "a is gone", |view| !view.members.contains_key(&id("a"))).await;
    b.shutdown().await;
}

#[tokio::test]
async fn a_leader_that_leaves_resigns_and_ends_its_lease() {
    let Some(etcd) = Server::start().await else { return };
    let settings = cluster::etcd::EtcdSettings { lease_ttl_s: 60, ..etcd.settings() };
    let a = joined(&settings, &login("a", 1)).await;
    let first = leader_after(&a.views(), None).await;
    let b = joined(&settings, &login("b", 2)).await;
    a.shutdown().await;
    // Its lease would have lasted as long as this waits.
    let view = until(&b.views(), "a is gone and b leads", |view| {
        view.members.len() == 1 && view.leader.as_ref().is_some_and(|leader| leader.epoch > first.epoch)
    })
    .await;
    assert_eq!(view.leader.as_ref().expect("leads").node, id("b"));
    b.shutdown().await;
}

#[tokio::test]
async fn a_frozen_leader_leads_no_more_and_its_old_orders_are_refused() {
    let Some(etcd) = Server::start().await else { return };
    let a = Freezable::start(etcd.settings(), login("a", 1));
    let old = until(&a.leads, "a leads", Option::is_some).await.expect("leads").epoch;
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let database = Fence::default();
    database.admit(old).expect("the only leader");

    let frozen = a.freeze();
    let new = leader_after(&b.views(), Some(old.0)).await;
    assert_eq!(new.node, id("b"));
    // Nobody was there to take it back: what says it is the time.
    let held = a.leads.borrow().expect("held");
    assert_eq!((held.epoch, held.at(Instant::now())), (old, None));
    database.admit(new.epoch).expect("the newer leader");
    drop(frozen);

    // The order that a had in hand when it froze.
    assert_eq!(database.admit(old), Err(OldEpoch { given: old, seen: new.epoch }));
    assert_eq!(b.fence().admit(old), Err(OldEpoch { given: old, seen: new.epoch }));
    until(&a.leads, "a knows that it leads no more", Option::is_none).await;
    leader_after(&a.views, Some(old.0)).await;
    assert!(a.fence.admit(old).is_err(), "not even its own node takes its old orders");
    until(&a.views, "a is a member again", |view| view.members.contains_key(&id("a"))).await;
    b.shutdown().await;
}

#[tokio::test]
async fn a_draining_leader_gives_way_to_another_that_does_not() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let first = leader_after(&a.views(), None).await;
    a.mark_draining(&id("a")).await.expect("marked");
    until(&a.views(), "the mark", |view| view.members[&id("a")].is_draining).await;
    assert_eq!(a.epoch(), Some(first.epoch), "the only one leads on");
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let second = leader_after(&a.views(), Some(first.epoch.0)).await;
    assert_eq!(second.node, id("b"));
    until(&a.leads(), "a has resigned", Option::is_none).await;
    assert!(a.unmark(&id("a")).await.expect("unmarked"));
    assert!(!a.unmark(&id("a")).await.expect("asked"), "there is no mark any more");
    a.mark_draining(&id("gone")).await.expect("marked");
    assert!(
        a.unmark(&id("gone")).await.expect("unmarked"),
        "a node that is not there leaves its mark no longer than is wished"
    );
    let view = until(&a.views(), "the mark is gone", |view| !view.members[&id("a")].is_draining).await;
    assert_eq!(view.leader.as_ref().map(|leader| leader.epoch), Some(second.epoch));
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test]
async fn a_leader_key_that_nobody_can_read_is_nobodys() {
    let Some(etcd) = Server::start().await else { return };
    let mut client = etcd.client().await;
    client.put("/motorcade/test/leader", "\u{1}", None).await.expect("put");
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let view = until(&a.views(), "a is there", |view| view.members.contains_key(&id("a"))).await;
    assert_eq!((view.leader.as_ref(), a.epoch()), (None, None));
    client.delete("/motorcade/test/leader", None).await.expect("deleted");
    assert!(leader_after(&a.views(), None).await.epoch > Epoch(0));
    a.shutdown().await;
}
