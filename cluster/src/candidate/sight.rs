//! What a candidate sees of etcd.

use crate::{Epoch, Incarnation, NodeId, View};

/// A lease of etcd: keys that hang on it vanish with it. 0 is no lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// What stands in a node's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Which life of the node put it there; None where it cannot be read.
    pub incarnation: Option<Incarnation>,
    /// The etcd revision that put it there.
    pub revision: i64,
    /// What it hangs on.
    pub lease: LeaseId,
}

/// What stands in the leader's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderKey {
    /// Whether it names this life of this node.
    pub is_mine: bool,
    /// The revision that made it.
    pub epoch: Epoch,
    /// What it hangs on.
    pub lease: LeaseId,
}

/// A member that says other things than this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its name.
    pub node: NodeId,
    /// Its dialect.
    pub dialect: u32,
    /// Its version, as it gives it.
    pub version: String,
}

/// What one look at etcd shows a candidate.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// Who is there.
    pub view: &'a View,
    /// The node's own key.
    pub own: Option<Registration>,
    /// The leader's key; there may be one that the View cannot show because nobody can read it.
    pub leader: Option<LeaderKey>,
    /// Members of another dialect whose key this program cannot read, beside those in the View.
    pub strangers: &'a [Stranger],
}
