//! What every node says of itself, whatever it runs.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;

/// The node itself.
pub(crate) struct NodeNumbers {
    /// The node's name.
    pub(crate) node: String,
    /// Whether the database is up to date and was there at the last look.
    pub(crate) database: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for NodeNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeNumbers").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Collector for NodeNumbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let build =
            Info::new([("version", env!("CARGO_PKG_VERSION").to_owned()), ("node", self.node.clone())]);
        build.encode(encoder.encode_descriptor(
            "build",
            "The program and the node",
            None,
            build.metric_type(),
        )?)?;
        let ready = ConstGauge::new(i64::from((self.database)()));
        let help = "Whether the database is up to date (1) or still awaited (0)";
        ready.encode(encoder.encode_descriptor("database_ready", help, None, ready.metric_type())?)
    }
}
