//! The View: who is in the cluster and who leads it, as a node last heard from etcd. Immutable; replaced whole.
//!
//! Knows not how it comes here, and nothing that changes by the second: what a node carries is its
//! [`Load`](crate::Load).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Epoch, Incarnation, NodeId, NodeInfo, Role};

/// Who is in the cluster and who leads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The etcd revision that it shows. A later View has a higher one, or the same.
    pub revision: i64,
    /// Who leads; None while nobody does.
    pub leader: Option<Leader>,
    /// Every node whose lease holds.
    pub members: BTreeMap<NodeId, Member>,
    /// Nodes that left of their own accord, each in the last life that did so: until the leader has written that down.
    /// A later life of such a node may be a member.
    pub left: BTreeMap<NodeId, Incarnation>,
}

/// A node that is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it says of itself.
    pub info: NodeInfo,
    /// Whether it is to get no more and to give away what it has.
    pub is_draining: bool,
}

/// Who leads the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Since when, as an ordering.
    pub epoch: Epoch,
}

impl View {
    /// The members that run `role`.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.info.runs(role))
    }

    /// Whether this life of this node leads.
    pub fn is_led_by(&self, node: &NodeId, incarnation: Incarnation) -> Option<Epoch> {
        let leader = self.leader.as_ref()?;
        (leader.node == *node && leader.incarnation == incarnation).then_some(leader.epoch)
    }
}

/// The View of one node, as it changes. Everybody on the node reads the same one.
pub type Views = watch::Receiver<Arc<View>>;
