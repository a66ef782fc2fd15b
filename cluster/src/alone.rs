//! A node that is alone: placement where there is one media server or none, and a cluster of one node.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::StreamKey;
use tokio::sync::watch;

use crate::{
    ClusterReport, DrainError, Load, MediaServer, Member, NodeId, NodeInfo, Nodes, Placement, Sighting, View,
};

/// The placement of a node that is alone.
#[derive(Debug)]
pub struct Alone {
    /// Its own media server, where it runs one.
    pub media: Option<MediaServer>,
}

impl Placement for Alone {
    fn media_for(&self, _stream: &StreamKey) -> Option<MediaServer> {
        self.media.clone()
    }
}

/// What a node carried when it looked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// What it carried.
    pub load: Load,
    /// When it looked.
    pub at: DateTime<Utc>,
}

/// The nodes of a cluster of one: it sees itself, nobody leads, and there is nowhere to drain to.
#[derive(Debug)]
pub struct AloneNodes {
    /// The node.
    pub info: NodeInfo,
    /// What it carries, as it last looked.
    pub measured: watch::Receiver<Measurement>,
}

impl AloneNodes {
    fn refuse(&self, node: &NodeId) -> Result<(), DrainError> {
        Err(if *node == self.info.node { DrainError::Alone } else { DrainError::NotFound(node.clone()) })
    }
}

#[async_trait]
impl Nodes for AloneNodes {
    fn report(&self) -> ClusterReport {
        let node = &self.info.node;
        let Measurement { load, at } = *self.measured.borrow();
        let itself = Sighting {
            incarnation: self.info.incarnation,
            missed: 0,
            load,
            measured_at_ms: at.timestamp_millis(),
            clock_offset_ms: 0,
            is_draining: false,
            copies: Vec::new(),
        };
        let member = Member { info: self.info.clone(), is_draining: false };
        let view = View { members: [(node.clone(), member)].into(), ..View::default() };
        ClusterReport::of(node.clone(), &view, &[(node.clone(), itself)].into(), None)
    }

    async fn drain(&self, node: &NodeId) -> Result<(), DrainError> {
        self.refuse(node)
    }

    async fn undrain(&self, node: &NodeId) -> Result<(), DrainError> {
        self.refuse(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Advertise, DIALECT, Incarnation, Limits, Role};

    #[tokio::test]
    async fn a_node_that_is_alone_sees_itself_and_has_nowhere_to_drain_to() {
        let node: NodeId = "motorcade".parse().expect("a name");
        let info = NodeInfo {
            node: node.clone(),
            incarnation: Incarnation(7),
            dialect: DIALECT,
            version: "0.1.0".to_owned(),
            roles: vec![Role::Gateway, Role::Api],
            seams: Advertise { host: None, port: 0 },
            gateway: None,
            media: None,
            web: None,
            limits: Limits { terminals: 100 },
            started_at: DateTime::UNIX_EPOCH,
        };
        let (looked, measured) =
            watch::channel(Measurement { load: Load::default(), at: DateTime::UNIX_EPOCH });
        let nodes = AloneNodes { info: info.clone(), measured };
        let load = Load { terminals: 3, cpu_permille: 40, ..Load::default() };
        let at = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(9);
        looked.send_replace(Measurement { load, at });

        let report = nodes.report();
        assert_eq!((&report.node, &report.leader, report.etcd_away_since), (&node, &None, None));
        let [alone] = report.nodes.as_slice() else { panic!("one node: {report:?}") };
        assert_eq!((&alone.info, alone.leads, alone.is_draining), (&info, false, false));
        let told = alone.sighting.as_ref().map(|sighting| (sighting.load, sighting.measured_at_ms));
        assert_eq!((alone.is_seen(), told), (true, Some((load, 9_000))));

        assert_eq!(nodes.drain(&node).await, Err(DrainError::Alone));
        assert_eq!(nodes.undrain(&node).await, Err(DrainError::Alone));
        let other: NodeId = "gw1".parse().expect("a name");
        assert_eq!(nodes.drain(&other).await, Err(DrainError::NotFound(other.clone())));
    }
}
