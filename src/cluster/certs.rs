//! `motorcade cluster certs`: what each node needs to be one of the cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use chrono::{TimeDelta, Utc};
use clap::Args;
use cluster::{Authority, NodeId, has_certificate};

use crate::secrets::{self, Secrets};

/// `motorcade cluster certs`
#[derive(Debug, Args)]
pub(crate) struct Certs {
    /// Folder of the authority and of the nodes' folders. Who can read it can be any node: keep it off the nodes.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How long a node's certificate is valid, days.
    #[arg(long, value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// How long the authority's certificate is valid, days; of use when it is made.
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    ca_days: u32,
    /// Replace the certificates of nodes that have one; the authority stays.
    #[arg(long)]
    renew: bool,
    /// The nodes' names, as each one's configuration says it.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<NodeId>,
}

impl Certs {
    /// Nothing is written unless everything may be.
    pub(crate) fn make(&self) -> Result<()> {
        let Self { dir, days, ca_days, renew, nodes } = self;
        let nodes: BTreeSet<&NodeId> = nodes.iter().collect();
        if !renew && let Some(node) = nodes.iter().find(|node| has_certificate(&dir.join(node.as_str()))) {
            bail!("{node} has a certificate in {}: --renew replaces it", dir.join(node.as_str()).display());
        }
        let now = Utc::now();
        let is_new = !Authority::is_in(dir);
        let (authority, secrets) = if is_new {
            std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
            // First: an authority without secrets is one that lost them.
            let secrets = Secrets::read_or_make(dir)?;
            (Authority::make(dir, now, TimeDelta::days(i64::from(*ca_days)))?, secrets)
        } else {
            (Authority::open(dir)?, shared_secrets(dir)?)
        };
        if is_new {
            println!("made the cluster's authority {}", dir.join("ca.pem").display());
            println!("keep {} from everybody: it can make any node", dir.display());
        }
        for node in nodes {
            let folder = dir.join(node.as_str());
            let issued = authority.issue(node, now, TimeDelta::days(i64::from(*days)))?;
            authority.hand_over(&issued, &folder)?;
            secrets.copy_to(&folder)?;
            println!(
                "{node}: copy {}/ to the node, for nobody else to read: ca.pem, node.pem, node.key (valid until {}), \
                 {}",
                folder.display(),
                (now + TimeDelta::days(i64::from(*days))).format("%Y-%m-%d"),
                secrets::FILE
            );
        }
        Ok(())
    }
}

/// Those of a cluster that is there already: others made instead would not fit the nodes that have them.
fn shared_secrets(dir: &Path) -> Result<Secrets> {
    let path = dir.join(secrets::FILE);
    ensure!(
        path.exists(),
        "{} is missing beside the authority: copy it back from the folder of a node",
        path.display()
    );
    Secrets::read_or_make(dir)
}
