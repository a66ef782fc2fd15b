//! Starts the listener for Prometheus and probes.

use std::sync::Arc;

use anyhow::Result;
use tracing::warn;

use super::ground::Ground;
use crate::database::Care;
use crate::member::Joined;
use crate::metrics::{Metrics, NodeNumbers, Parts};

/// Where its usual port is taken and nobody chose it, the node goes without.
pub(super) async fn start(
    ground: &Ground,
    gateway: Option<&gateway::Gateway>,
    media: Option<&Arc<media::MediaServer>>,
    joined: Option<&Joined>,
    care: &Care,
) -> Result<Option<Metrics>> {
    let config = &ground.config;
    let parts = Parts {
        gateway: gateway.map(gateway::Gateway::control),
        media: media.cloned(),
        cluster: joined.map(Joined::numbers),
    };
    let node = NodeNumbers { node: config.gateway.node.clone(), database: Arc::new(care.watch()) };
    let is_there = care.watch();
    let readiness =
        Arc::new(move || if is_there() { Ok(()) } else { Err("the database is not there yet".to_owned()) });
    match Metrics::start(&config.metrics.listener(), parts, node, readiness).await {
        Ok(metrics) => Ok(Some(metrics)),
        Err(error) if !config.metrics.is_set() => {
            warn!("no metrics are served: {error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
