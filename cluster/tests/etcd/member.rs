//! Who is a member.

use std::collections::BTreeMap;

use cluster::etcd::Membership;
use cluster::{DIALECT, Ended, Incarnation, NodeInfo};
use tokio::time::timeout;

use crate::node::{id, joined, login, until};
use crate::server::{Server, WITHIN};

#[tokio::test]
async fn the_older_of_two_processes_of_one_name_ends() {
    let Some(etcd) = Server::start().await else { return };
    let older = joined(&etcd.settings(), &login("a", 1)).await;
    let newer = joined(&etcd.settings(), &login("a", 2)).await;
    let ended = timeout(WITHIN, older.ended()).await.expect("in time");
    assert_eq!(ended, Ended::Replaced { node: id("a"), by: Some(Incarnation(2)) });
    assert_eq!(older.epoch(), None);
    let view = until(&newer.views(), "the newer one leads", |view| {
        view.leader.as_ref().is_some_and(|leader| leader.incarnation == Incarnation(2))
    })
    .await;
    assert_eq!(view.members[&id("a")].info.incarnation, Incarnation(2));
    newer.shutdown().await;
}

#[tokio::test]
async fn a_node_started_again_at_once_takes_its_own_place() {
    let Some(etcd) = Server::start().await else { return };
    let first = joined(&etcd.settings(), &login("a", 1)).await;
    until(&first.leads(), "it leads", Option::is_some).await;
    drop(first);
    let second = joined(&etcd.settings(), &login("a", 2)).await;
    until(&second.leads(), "it leads again", Option::is_some).await;
    second.shutdown().await;
}

#[tokio::test]
async fn who_leaves_is_told_from_who_dies() {
    let Some(etcd) = Server::start().await else { return };
    let watcher = joined(&etcd.settings(), &login("w", 9)).await;
    let views = watcher.views();
    let dies = joined(&etcd.settings(), &login("a", 1)).await;
    until(&views, "a is there", |view| view.members.contains_key(&id("a"))).await;
    drop(dies);
    let view = until(&views, "a is gone", |view| !view.members.contains_key(&id("a"))).await;
    assert_eq!(view.left, BTreeMap::new(), "its lease lapsed");

    let leaves = joined(&etcd.settings(), &login("a", 2)).await;
    until(&views, "a is there", |view| view.members.contains_key(&id("a"))).await;
    leaves.shutdown().await;
    let view = until(&views, "a is gone again", |view| !view.members.contains_key(&id("a"))).await;
    assert_eq!(view.left, BTreeMap::from([(id("a"), Incarnation(2))]), "it said so, in the same moment");

    // Its next life does not wipe that out, nor does who takes away the mark of another life.
    let back = joined(&etcd.settings(), &login("a", 3)).await;
    let agreement = watcher.agreement();
    agreement.forget_left(&id("a"), Incarnation(3)).await.expect("asked");
    let view = until(&views, "a is back", |view| view.members.contains_key(&id("a"))).await;
    assert_eq!(view.left[&id("a")], Incarnation(2));
    agreement.forget_left(&id("a"), Incarnation(2)).await.expect("taken away");
    until(&views, "no mark is left", |view| view.left.is_empty()).await;
    back.shutdown().await;
    watcher.shutdown().await;
}

#[tokio::test]
async fn a_node_with_another_version_is_kept_out_and_says_which() {
    let Some(etcd) = Server::start().await else { return };
    let next = NodeInfo { dialect: DIALECT + 1, version: "0.9.0".to_owned(), ..login("b", 2) };
    let mut client = etcd.client().await;
    let readable = serde_json::to_string(&next).expect("written");
    for there in [readable.as_str(), r#"{"dialect":2,"version":"0.9.0","more":[]}"#] {
        client.put("/motorcade/test/members/b", there, None).await.expect("put");
        let a = Membership::start(&etcd.settings(), &login("a", 1), Default::default())
            .expect("settings that work");
        let refused = timeout(WITHIN, a.joined()).await.expect("in time").expect_err("refused");
        let says = "node b (version 0.9.0) speaks dialect 2, this node (version 0.1.0) speaks dialect 1";
        assert_eq!(refused.to_string(), says);
        let keys = client.get("/motorcade/test/members/a", None).await.expect("read");
        assert_eq!(keys.count(), 0, "it has not joined");
    }
}

#[tokio::test]
async fn a_member_whose_key_was_deleted_joins_anew() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let views = b.views();
    let before = until(&views, "both", |view| view.members.len() == 2).await.revision;
    etcd.client().await.delete("/motorcade/test/members/a", None).await.expect("deleted");
    until(&views, "a again", |view| view.revision > before + 1 && view.members.len() == 2).await;
    a.shutdown().await;
    b.shutdown().await;
}

#[tokio::test]
async fn clusters_share_an_etcd_without_seeing_each_other() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let other = cluster::etcd::EtcdSettings { cluster: "test2".to_owned(), ..etcd.settings() };
    let b = joined(&other, &login("b", 2)).await;
    for (membership, own) in [(&a, "a"), (&b, "b")] {
        let led = until(&membership.views(), "it leads its own", |view| view.leader.is_some()).await;
        assert_eq!(led.leader.as_ref().expect("leads").node, id(own));
        assert_eq!(led.members.keys().collect::<Vec<_>>(), [&id(own)]);
    }
    a.shutdown().await;
    b.shutdown().await;
}
