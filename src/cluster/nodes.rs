//! `motorcade cluster status|drain|undrain`: run on a node, with its configuration.
//!
//! Asks etcd who is there, and each node how it is, under this node's own name and certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chrono::Utc;
use clap::Args;
use cluster::etcd::Agreement;
use cluster::{Credentials, Incarnation, NodeId, NodeStatus, Peers, View};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::cli::runtime;
use crate::config::Config;

/// Above the columns of [`Asking::print`].
const HEADINGS: &str =
    "node             roles                    state      terminals viewers   cpu  memory storage  version";
/// How often a drain looks how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the node's configuration is.
#[derive(Debug, Args)]
struct Here {
    /// Configuration file (TOML) of this node. Every key also works as an environment variable
    /// MOTORCADE__SECTION__KEY.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// `motorcade cluster status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    here: Here,
}

/// `motorcade cluster drain`
#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    here: Here,
    /// Mark the node and return, instead of waiting for its terminals.
    #[arg(long)]
    no_wait: bool,
    /// The node.
    #[arg(value_name = "NODE")]
    node: NodeId,
}

/// `motorcade cluster undrain`
#[derive(Debug, Args)]
pub(crate) struct Undrain {
    #[command(flatten)]
    here: Here,
    /// The node.
    #[arg(value_name = "NODE")]
    node: NodeId,
}

impl Status {
    pub(crate) fn run(&self) -> Result<()> {
        runtime()?.block_on(async {
            let asking = Asking::begin(&self.here).await?;
            asking.print().await;
            Ok(())
        })
    }
}

impl Drain {
    pub(crate) fn run(&self) -> Result<()> {
        runtime()?.block_on(async {
            let asking = Asking::begin(&self.here).await?;
            asking.ensure_there(&self.node)?;
            asking.agreement.mark_draining(&self.node).await.context("mark the node")?;
            println!("{} is draining", self.node);
            if self.no_wait {
                return Ok(());
            }
            tokio::select! {
                waited = self.wait(&asking) => waited,
                Ok(()) = tokio::signal::ctrl_c() => bail!(
                    "not waited for: {node} stays marked and goes on draining (motorcade cluster undrain {node} ends that)",
                    node = self.node
                ),
            }
        })
    }

    /// Returns when the node has no terminals.
    async fn wait(&self, asking: &Asking) -> Result<()> {
        let mut last = None;
        loop {
            let left = asking.status(&self.node).await;
            let left =
                left.with_context(|| format!("{} does not answer any more", self.node))?.load.terminals;
            if left == 0 {
                break;
            }
            if last.replace(left) != Some(left) {
                println!("{left} terminals are left");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        println!("{} has no terminals any more", self.node);
        Ok(())
    }
}

impl Undrain {
    pub(crate) fn run(&self) -> Result<()> {
        runtime()?.block_on(async {
            let asking = Asking::begin(&self.here).await?;
            // A node that is gone may have left a mark behind.
            if !asking.agreement.unmark(&self.node).await.context("take the mark away")? {
                asking.ensure_there(&self.node)?;
            }
            println!("{} is not draining any more", self.node);
            Ok(())
        })
    }
}

/// What the cluster is asked with.
struct Asking {
    agreement: Agreement,
    view: Arc<View>,
    /// Marks that nodes left behind.
    gone: Vec<NodeId>,
    peers: Arc<Peers>,
    /// Kept, so that the peers stay.
    _views: watch::Sender<Arc<View>>,
}

impl Asking {
    async fn begin(here: &Here) -> Result<Self> {
        let config = Config::read(here.config.as_deref())?;
        ensure!(!config.etcd.endpoints.is_empty(), "this node is alone: it has no etcd.endpoints");
        let node = config.cluster.node.clone().context("the node's name is needed: cluster.node")?;
        let certs =
            config.cluster.certs.as_deref().context("the node's certificate is needed: cluster.certs")?;
        let credentials = Arc::new(Credentials::watch(node, certs)?);
        let agreement = Agreement::new(&config.etcd)?;
        let book = agreement.look().await.context("ask etcd who is in the cluster")?;
        let view = book.view();
        let gone = book.draining().filter(|node| !view.members.contains_key(*node)).cloned().collect();
        let (views, seen) = watch::channel(Arc::clone(&view));
        let peers = Peers::new(seen, credentials, Incarnation(rand::random()));
        Ok(Self { agreement, view, gone, peers, _views: views })
    }

    fn ensure_there(&self, node: &NodeId) -> Result<()> {
        let names = || self.view.members.keys().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
        ensure!(self.view.members.contains_key(node), "{node} is not in the cluster: there are {}", names());
        Ok(())
    }

    async fn status(&self, node: &NodeId) -> Result<NodeStatus> {
        Ok(self.peers.peer(node)?.status().await?)
    }

    async fn print(&self) {
        match &self.view.leader {
            Some(leader) => println!("{} leads, epoch {}", leader.node, leader.epoch),
            None => println!("nobody leads"),
        }
        let asked = self.view.members.iter().map(|(node, member)| async move {
            let answer = self.status(node).await;
            (node, member, answer, Utc::now())
        });
        println!("{HEADINGS}");
        for (node, member, answer, now) in join_all(asked).await {
            let roles: Vec<String> = member.info.roles.iter().map(ToString::to_string).collect();
            let state = match (&answer, member.is_draining) {
                (Err(_), _) => "silent".to_owned(),
                (Ok(status), _) if (status.now - now).num_seconds().abs() > 10 => {
                    format!("clock {:+} s", (status.now - now).num_seconds())
                }
                (Ok(status), true) if status.load.terminals == 0 => "drained".to_owned(),
                (Ok(_), true) => "draining".to_owned(),
                (Ok(_), false) => "serving".to_owned(),
            };
            let numbers = match &answer {
                Ok(NodeStatus { load, .. }) => format!(
                    "{:>9} {:>7} {:>4}% {:>6}% {:>6}%",
                    load.terminals,
                    load.viewers,
                    load.cpu_permille / 10,
                    share(load.memory_bytes, load.memory_max_bytes),
                    share(load.storage_bytes, load.storage_max_bytes)
                ),
                Err(_) => format!("{:>9} {:>7} {:>5} {:>7} {:>7}", "-", "-", "-", "-", "-"),
            };
            println!(
                "{:<16} {:<24} {state:<10} {numbers}  {}",
                node.as_str(),
                roles.join(","),
                member.info.version
            );
            if let Err(error) = answer {
                println!("  {error:#}");
            }
        }
        for node in &self.gone {
            println!(
                "{:<16} is marked to drain, and not there (motorcade cluster undrain {node})",
                node.as_str()
            );
        }
    }
}

/// Percent.
fn share(part: u64, of: u64) -> u64 {
    (part * 100).checked_div(of).unwrap_or(0)
}
