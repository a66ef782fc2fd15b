//! The other gateways as keepers of copies of this one's spool.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{CallError, Peer, Peers};
use crate::{Batch, Copies, CopyError, CopyPeer, CopyPeers, Epoch, Incarnation, NodeId, Role, View};

/// What one other gateway keeps for this one.
pub struct RemoteCopies {
    peer: Arc<Peer>,
    peers: Arc<Peers>,
}

impl RemoteCopies {
    /// Those at `peer`, which is one of `peers`.
    pub fn new(peer: Arc<Peer>, peers: Arc<Peers>) -> Self {
        Self { peer, peers }
    }
}

#[async_trait]
impl Copies for RemoteCopies {
    async fn keep(&self, batch: Batch) -> Result<(), CopyError> {
        self.peer.keep(batch).await.unwrap_or_else(unreachable)
    }

    async fn stored(&self, origin: &NodeId, incarnation: Incarnation, upto: u64) -> Result<(), CopyError> {
        self.peer.stored(origin.clone(), incarnation, upto).await.unwrap_or_else(unreachable)
    }

    /// For others the leader's to ask alone, under its epoch; for itself any node may.
    async fn adopt(&self, origin: &NodeId) -> Result<u64, CopyError> {
        let epoch = match self.peers.own_epoch() {
            Some(epoch) => epoch,
            None if origin == self.peers.me() => Epoch::default(),
            None => return Err(CopyError::Unreachable(format!("{} does not lead", self.peers.me()))),
        };
        match self.peer.adopt(epoch, origin.clone()).await {
            Ok(Ok(left)) => left,
            Ok(Err(refused)) => Err(CopyError::Unreachable(refused.to_string())),
            Err(error) => unreachable(error),
        }
    }
}

fn unreachable<T>(error: CallError) -> Result<T, CopyError> {
    Err(CopyError::Unreachable(error.to_string()))
}

/// The gateways that may keep copies for this one: all others that are not draining, the one whose name follows its own
/// first, and so on around, so that each keeps for another.
pub struct CopyMates {
    mates: CopyPeers,
    _task: AbortOnDropHandle<()>,
}

impl CopyMates {
    /// Follows the View as long as this lives. Must be called inside a tokio runtime.
    pub fn follow(peers: Arc<Peers>) -> Self {
        let (sender, mates) = watch::channel(None);
        let view = peers.views().borrow().clone();
        sender.send_replace(Some(mates_in(&view, &peers)));
        Self { mates, _task: AbortOnDropHandle::new(tokio::spawn(follow(peers, sender, view))) }
    }

    /// As they are now, and as they change. Never `None`: this node is in a cluster.
    pub fn peers(&self) -> CopyPeers {
        self.mates.clone()
    }
}

async fn follow(peers: Arc<Peers>, sender: watch::Sender<Option<Vec<CopyPeer>>>, mut last: Arc<View>) {
    let mut views = peers.views().clone();
    loop {
        let view = views.borrow_and_update().clone();
        if lives(&view, peers.me()).ne(lives(&last, peers.me())) {
            sender.send_replace(Some(mates_in(&view, &peers)));
            last = view;
        }
        if views.changed().await.is_err() {
            // No View will come any more: the last mates stay.
            std::future::pending::<()>().await;
        }
    }
}

/// The nodes that may be mates, each in its present life, as the ring begins after `me`.
fn lives<'a>(view: &'a View, me: &'a NodeId) -> impl Iterator<Item = (&'a NodeId, Incarnation)> {
    let fit = move || {
        let fit = view.with_role(Role::Gateway).filter(|member| !member.is_draining && member.info.speaks());
        fit.map(|member| (&member.info.node, member.info.incarnation))
    };
    fit().filter(move |(node, _)| *node > me).chain(fit().filter(move |(node, _)| *node < me))
}

fn mates_in(view: &View, peers: &Arc<Peers>) -> Vec<CopyPeer> {
    let mate = |(node, _): (&NodeId, Incarnation)| {
        let peer = peers.peer(node).ok()?;
        let copies = Arc::new(RemoteCopies::new(peer, Arc::clone(peers)));
        Some(CopyPeer { node: node.clone(), copies })
    };
    lives(view, peers.me()).filter_map(mate).collect()
}
