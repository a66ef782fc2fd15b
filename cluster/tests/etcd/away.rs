//! etcd killed and back.

use crate::node::{id, joined, leader_after, login, until};
use crate::server::{Server, WITHIN, wait_for};

#[tokio::test]
async fn views_stay_while_etcd_is_away_and_are_fresh_when_it_is_back() {
    let Some(mut etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    let b = joined(&etcd.settings(), &login("b", 2)).await;
    let views = a.views();
    let before = until(&views, "both, led", |view| view.members.len() == 2 && view.leader.is_some()).await;
    assert_eq!(a.etcd_away_since(), None);
    etcd.kill();
    let leader = if before.leader.as_ref().expect("led").node == id("a") { &a } else { &b };
    // Nobody keeps its lease alive: it leads no more. What it saw last it keeps.
    until(&leader.leads(), "nobody leads", Option::is_none).await;
    assert!(a.etcd_away_since().is_some() && b.etcd_away_since().is_some());
    assert_eq!(*views.borrow(), before);

    etcd.restart().await;
    let c = joined(&etcd.settings(), &login("c", 3)).await;
    until(&views, "all three", |view| view.members.len() == 3).await;
    leader_after(&views, None).await;
    wait_for("somebody to lead again", async || {
        [&a, &b, &c].iter().find_map(|node| node.epoch()).ok_or("nobody leads")
    })
    .await;
    assert_eq!(a.etcd_away_since(), None);
    for node in [a, b, c] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_that_starts_without_etcd_joins_when_it_is_there() {
    let Some(mut etcd) = Server::start().await else { return };
    etcd.kill();
    let a = cluster::etcd::Membership::start(&etcd.settings(), &login("a", 1), Default::default())
        .expect("settings that work");
    let mut away = a.agreement().away();
    away.wait_for(Option::is_some).await.expect("it finds out");
    assert_eq!(a.views().borrow().revision, 0);
    etcd.restart().await;
    tokio::time::timeout(WITHIN, a.joined()).await.expect("in time").expect("joins");
    a.shutdown().await;
}

#[tokio::test]
async fn leaving_ends_though_etcd_is_away() {
    let Some(mut etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    etcd.kill();
    tokio::time::timeout(WITHIN, a.shutdown()).await.expect("bounded");
}

#[tokio::test]
async fn an_etcd_that_has_lost_its_data_is_not_believed() {
    let Some(mut etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    for _ in 0..20 {
        a.mark_draining(&id("x")).await.expect("marked");
    }
    let (views, last) = (a.views(), etcd.agreement().look().await.expect("looks").revision());
    let before = until(&views, "the marks", |view| view.revision == last).await;
    etcd.lose_data().await;
    let agreement = a.agreement();
    let (seen, given) = wait_for("it to be found out", async || match agreement.look().await {
        Err(cluster::etcd::EtcdError::WentBack { seen, given }) => Ok((seen, given)),
        other => Err(other),
    })
    .await;
    assert!(seen >= 20 && given < seen);
    assert_eq!(*views.borrow(), before);
    a.shutdown().await;
}
