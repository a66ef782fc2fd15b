//! What a node sees of its cluster, in numbers.

use std::fmt::Error;
use std::time::Instant;

use ::cluster::etcd::Away;
use ::cluster::{Lead, LinksFollowed, SightingsSeen, Views};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::watch;

/// Where it looks.
pub(crate) struct ClusterNumbers {
    /// The time of leading that this node is in.
    pub(crate) leads: watch::Receiver<Option<Lead>>,
    pub(crate) views: Views,
    pub(crate) sightings: SightingsSeen,
    /// Since when etcd has not answered.
    pub(crate) away: watch::Receiver<Option<Away>>,
    pub(crate) links: LinksFollowed,
}

impl std::fmt::Debug for ClusterNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClusterNumbers")
    }
}

impl Collector for ClusterNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let view = self.views.borrow().clone();
        let lead = self.leads.borrow().and_then(|lead| lead.at(Instant::now()));
        let sightings = self.sightings.borrow().clone();
        let in_sight = sightings.values().filter(|sighting| sighting.is_in_sight()).count();
        let wrong_clock = sightings.values().filter(|sighting| !sighting.has_right_clock()).count();
        let epoch = view.leader.as_ref().map_or(0, |leader| leader.epoch.0);
        for (name, help, value) in [
            ("cluster_leads", "Whether this node leads the cluster", i64::from(lead.is_some())),
            ("cluster_epoch", "The epoch of the leader that this node knows; 0: none", epoch),
            ("cluster_members", "Nodes in the View", number(view.members.len())),
            ("cluster_in_sight", "Nodes that answer this one, itself included", number(in_sight)),
            ("cluster_wrong_clock", "Nodes whose clock is too far from this node's", number(wrong_clock)),
            (
                "cluster_gateways_followed",
                "Other gateways that tell this node which terminals they hold",
                number(self.links.count()),
            ),
            ("cluster_etcd_away", "Whether etcd does not answer", i64::from(self.away.borrow().is_some())),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
