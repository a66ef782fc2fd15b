//! etcd compacted under a watcher.

use cluster::etcd::EtcdError;

use crate::node::{Freezable, id, joined, login, until};
use crate::server::Server;

#[tokio::test]
async fn changes_that_were_compacted_away_are_told_apart_from_none() {
    let Some(etcd) = Server::start().await else { return };
    let agreement = etcd.agreement();
    let mut book = agreement.look().await.expect("looks");
    let after = book.revision();
    for _ in 0..5 {
        agreement.mark_draining(&id("x")).await.expect("marked");
    }
    let kept = agreement.look().await.expect("looks").revision();
    etcd.client().await.compact(kept, None).await.expect("compacted");
    let compacted =
        agreement.follow(&mut book, |_| panic!("nothing can be told")).await.expect_err("compacted");
    assert!(
        matches!(compacted, EtcdError::Compacted { after: a, kept: k } if (a, k) == (after, kept)),
        "{compacted:?}"
    );
    // Another look is the answer.
    assert!(agreement.look().await.expect("looks").revision() >= kept);
}

#[tokio::test]
async fn etcd_compacted_under_a_watcher() {
    let Some(etcd) = Server::start().await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    // One that cannot read what it is sent meanwhile, nor be kept alive.
    let b = Freezable::start(etcd.settings(), login("b", 2));
    until(&b.views, "both", |view| view.members.len() == 2).await;
    let frozen = b.freeze();
    until(&a.views(), "b's lease has run out", |view| view.members.len() == 1).await;
    for node in ["x", "y", "z"] {
        a.mark_draining(&id(node)).await.expect("marked");
    }
    let kept = etcd.agreement().look().await.expect("looks").revision();
    etcd.client().await.compact(kept, None).await.expect("compacted");
    a.mark_draining(&id("a")).await.expect("marked");
    drop(frozen);
    for views in [a.views(), b.views.clone()] {
        until(&views, "a's mark and b again", |view| {
            view.members.len() == 2 && view.members[&id("a")].is_draining && view.revision > kept
        })
        .await;
    }
    a.shutdown().await;
}
