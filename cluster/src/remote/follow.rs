//! One task for each other node of a kind, as long as it is in the View in that life.
//!
//! Knows not what the tasks do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::{Peer, Peers};
use crate::{Incarnation, NodeId, NodeInfo};

/// How long until a stream that broke, or did not begin, is asked for again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How often it is looked whether a node may be let go that left the View.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// What is done for each other node.
pub(super) trait Follower: Send + Sync + 'static {
    /// Whether it is done for such a node.
    fn wants(&self, info: &NodeInfo) -> bool;

    /// Whether a node that left the View is let go now. One that is not is asked about again, and looked after meanwhile as
    /// if it had not left.
    fn lets_go(&self, _: &NodeId) -> bool {
        true
    }

    /// Is done until the node left the View and was let go, or came back as another life; ends by itself only to do
    /// nothing more.
    fn follow(self: Arc<Self>, peer: Arc<Peer>, incarnation: Incarnation) -> impl Future<Output = ()> + Send;

    /// The node left the View and was let go; what was done for it has ended.
    fn gone(&self, node: &NodeId);
}

/// Does it for every node of the View, as long as the handle lives.
pub(super) fn each<F: Follower>(peers: Arc<Peers>, follower: Arc<F>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(run(peers, follower)))
}

async fn run<F: Follower>(peers: Arc<Peers>, follower: Arc<F>) {
    let mut views = peers.views().clone();
    let mut tasks: HashMap<NodeId, (Incarnation, AbortOnDropHandle<()>)> = HashMap::new();
    loop {
        let view = views.borrow_and_update().clone();
        let wanted = |node: &NodeId| {
            let info = &view.members.get(node)?.info;
            (*node != *peers.me() && info.speaks() && follower.wants(info)).then_some(info.incarnation)
        };
        let goes = |node: &NodeId, incarnation| match wanted(node) {
            Some(wanted) => wanted != incarnation,
            None => follower.lets_go(node),
        };
        let ended: Vec<NodeId> = tasks
            .iter()
            .filter(|(node, (incarnation, _))| goes(node, *incarnation))
            .map(|(node, _)| node.clone())
            .collect();
        for node in ended {
            if let Some((_, task)) = tasks.remove(&node) {
                task.abort();
                // So that nothing of it comes after what is told now.
                let _ = task.await;
            }
            if wanted(&node).is_none() {
                follower.gone(&node);
            }
        }
        for node in view.members.keys() {
            if let Some(incarnation) = wanted(node)
                && !tasks.contains_key(node)
                && let Ok(peer) = peers.peer(node)
            {
                let task = tokio::spawn(Arc::clone(&follower).follow(peer, incarnation));
                tasks.insert(node.clone(), (incarnation, AbortOnDropHandle::new(task)));
            }
        }
        let stays = tasks.keys().any(|node| wanted(node).is_none());
        let again = async {
            if !stays {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LET_GO_EVERY).await;
        };
        let changed = async {
            if views.changed().await.is_err() {
                // No View will come any more: the last one stays.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = changed => {}
            () = again => {}
        }
    }
}
