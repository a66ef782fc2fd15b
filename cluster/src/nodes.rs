//! The seam by which operators see the nodes of a cluster and drain them.
//!
//! What is told is what the asked node knows at that moment, from its [`View`] and its [`Sightings`]. Knows neither
//! how these come nor where it is written down that a node drains.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{Leader, NodeId, NodeInfo, Sighting, Sightings, View};

/// The nodes as one of them knows them.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// What this node knows now; from memory, so that it waits for nobody.
    fn report(&self) -> ClusterReport;

    /// Marks a node: it is to get no more and to give away what it has. Returns once the mark is made, long before the
    /// node has nothing any more; a node that drains already stays as it is.
    ///
    /// # Errors
    /// [`DrainError`] says why not.
    async fn drain(&self, node: &NodeId) -> Result<(), DrainError>;

    /// Takes the mark away: the node may have something again. A node that does not drain stays as it is; one that is
    /// gone may have a mark too.
    ///
    /// # Errors
    /// [`DrainError`] says why not.
    async fn undrain(&self, node: &NodeId) -> Result<(), DrainError>;
}

/// What one node knows of its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterReport {
    /// The node that tells it.
    pub node: NodeId,
    /// Who leads; None while nobody does, and where a node is alone.
    pub leader: Option<Leader>,
    /// Since when etcd is away from it, so that what follows may be old; None while it is not, and where none is needed.
    pub etcd_away_since: Option<DateTime<Utc>>,
    /// Every node of its View, in the order of names.
    pub nodes: Vec<NodeReport>,
}

/// What one node knows of another, or of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// What it said of itself when it joined.
    pub info: NodeInfo,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it is marked to drain.
    pub is_draining: bool,
    /// What was last heard of this life of it; None where it never answered.
    pub sighting: Option<Sighting>,
}

/// Why a node was not marked, or its mark not taken away.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DrainError {
    /// No node goes by that name, and no mark.
    #[error("there is no node {0}")]
    NotFound(NodeId),
    /// Etcd is away. The mark may have been made; making it again is harmless.
    #[error("etcd is away")]
    Unavailable,
    /// There is no other node that could take anything.
    #[error("a node that is alone cannot be drained")]
    Alone,
}

impl ClusterReport {
    /// What `node` knows that holds `view` and `sightings`.
    pub fn of(
        node: NodeId,
        view: &View,
        sightings: &Sightings,
        etcd_away_since: Option<DateTime<Utc>>,
    ) -> Self {
        let nodes = view.members.values().map(|member| {
            let info = &member.info;
            NodeReport {
                info: info.clone(),
                leads: view.is_led_by(&info.node, info.incarnation).is_some(),
                is_draining: member.is_draining,
                // Of an earlier life it says nothing about this one.
                sighting: sightings
                    .get(&info.node)
                    .filter(|sighting| sighting.incarnation == info.incarnation)
                    .cloned(),
            }
        });
        Self { node, leader: view.leader.clone(), etcd_away_since, nodes: nodes.collect() }
    }

    /// The node of this name.
    pub fn find(&self, node: &NodeId) -> Option<&NodeReport> {
        self.nodes.iter().find(|report| report.info.node == *node)
    }
}

impl NodeReport {
    /// Whether it answers.
    pub fn is_seen(&self) -> bool {
        self.sighting.as_ref().is_some_and(Sighting::is_in_sight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Advertise, DIALECT, Epoch, Incarnation, Limits, Load, Member, Role};

    fn id(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    fn member(name: &str, incarnation: u64, is_draining: bool) -> (NodeId, Member) {
        let info = NodeInfo {
            node: id(name),
            incarnation: Incarnation(incarnation),
            dialect: DIALECT,
            version: "0.1.0".to_owned(),
            roles: vec![Role::Gateway],
            seams: Advertise { host: None, port: 7 },
            gateway: None,
            media: None,
            web: None,
            limits: Limits::default(),
            started_at: DateTime::UNIX_EPOCH,
        };
        (id(name), Member { info, is_draining })
    }

    fn sighting(name: &str, incarnation: u64, missed: u32) -> (NodeId, Sighting) {
        let sighting = Sighting {
            incarnation: Incarnation(incarnation),
            missed,
            load: Load::default(),
            measured_at_ms: 0,
            clock_offset_ms: 0,
            is_draining: false,
            copies: Vec::new(),
        };
        (id(name), sighting)
    }

    #[test]
    fn a_node_is_told_with_what_was_heard_of_this_life_of_it() {
        let view = View {
            revision: 9,
            leader: Some(Leader { node: id("b"), incarnation: Incarnation(2), epoch: Epoch(5) }),
            members: [
                member("c", 3, true),
                member("b", 2, false),
                member("a", 1, false),
                member("d", 4, false),
            ]
            .into(),
            ..View::default()
        };
        let sightings = [sighting("a", 1, 2), sighting("b", 1, 0), sighting("c", 3, 3)].into();
        let report = ClusterReport::of(id("a"), &view, &sightings, None);
        let told: Vec<_> = report
            .nodes
            .iter()
            .map(|node| (node.info.node.as_str(), node.leads, node.is_draining, node.is_seen()))
            .collect();
        // b answered in an earlier life only, c is silent, d was never heard of.
        let expected = [
            ("a", false, false, true),
            ("b", true, false, false),
            ("c", false, true, false),
            ("d", false, false, false),
        ];
        assert_eq!(told, expected);
        assert!(report.find(&id("b")).is_some_and(|node| node.sighting.is_none()));
        assert!(report.find(&id("c")).is_some_and(|node| node.sighting.is_some()));
        assert!(report.find(&id("e")).is_none());
    }

    #[test]
    fn a_leader_that_was_started_anew_leads_no_more() {
        let view = View {
            revision: 9,
            leader: Some(Leader { node: id("a"), incarnation: Incarnation(1), epoch: Epoch(5) }),
            members: [member("a", 2, false)].into(),
            ..View::default()
        };
        let report = ClusterReport::of(id("a"), &view, &Sightings::new(), None);
        assert!(!report.nodes[0].leads && report.leader.is_some());
    }
}
