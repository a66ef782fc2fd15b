//! `motorcade cluster`: what is done for the cluster as a whole, by its operator.

mod certs;
mod nodes;

use anyhow::Result;
use clap::{Args, Subcommand};

/// `motorcade cluster`
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make what each node needs to be one of the cluster: a certificate of the cluster's own authority, and the
    /// secrets that all nodes share. The authority is made the first time.
    Certs(certs::Certs),
    /// Show the nodes: who leads, what each carries, which are draining or do not answer.
    Status(nodes::Status),
    /// Have a node give away its terminals and get no more, and wait until it has none.
    Drain(nodes::Drain),
    /// Let a drained node have terminals again.
    Undrain(nodes::Undrain),
}

pub(crate) fn run(cluster: Cluster) -> Result<()> {
    match cluster.what {
        What::Certs(certs) => certs.make(),
        What::Status(status) => status.run(),
        What::Drain(drain) => drain.run(),
        What::Undrain(undrain) => undrain.run(),
    }
}
