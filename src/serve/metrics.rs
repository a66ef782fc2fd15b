//! Starts the listener for Prometheus and probes.

use std::sync::Arc;

use anyhow::Result;
use tracing::warn;

use super::Node;
use crate::member::{Joined, Member};
use crate::metrics::{Metrics, NodeNumbers, Parts};
use crate::readiness::Readiness;

/// Of what runs in `node`. Where the usual port is taken and nobody chose it, the node goes without.
pub(super) async fn start(node: &Node) -> Result<Option<Metrics>> {
    let Node { ground, care, joined, .. } = node;
    let login = node.login.as_ref().map(login::Login::control);
    let gateway = node.gateway.as_ref().map(gateway::Gateway::control);
    let parts = Parts {
        login: login.clone(),
        gateway: gateway.clone(),
        media: node.media.clone(),
        cluster: joined.as_ref().map(Joined::numbers),
    };
    let member = ground.member.as_ref().map(Member::node);
    let name = member.map_or_else(|| ground.config.gateway.node.clone(), ToString::to_string);
    let numbers = NodeNumbers { node: name, database: Arc::new(care.watch()) };
    let readiness = Readiness {
        db: ground.db.clone(),
        is_up_to_date: Box::new(care.watch()),
        login,
        gateway,
        media: node.media.clone(),
        has_api: node.api.is_some(),
        views: joined.as_ref().map(|joined| joined.membership.views()),
    };
    match Metrics::start(&ground.config.metrics.listener(), parts, numbers, readiness).await {
        Ok(metrics) => Ok(Some(metrics)),
        Err(error) if !ground.config.metrics.is_set() => {
            warn!("no metrics are served: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
