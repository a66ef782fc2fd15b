//! What is acknowledged, and who is served, while parts of a cluster die, are cut off, freeze or are restarted: each fault
//! on a real one, under ten reports a second from every terminal.
//!
//! A short form runs by default; the full one with `MOTORCADE_CLUSTER_FAULTS=full` (`scripts/cluster-faults`).

mod leader;
mod restarts;
mod trial;
mod troubles;

#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::cluster::{Cluster, Plan};

/// How long anything may take: generous, as a time is told, not judged.
const WITHIN: Duration = Duration::from_secs(240);

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Short,
    Full,
}

impl Form {
    fn chosen() -> Self {
        match std::env::var("MOTORCADE_CLUSTER_FAULTS").as_deref() {
            Ok("full") => Self::Full,
            _ => Self::Short,
        }
    }

    fn terminals(self) -> u32 {
        match self {
            Self::Short => 30,
            Self::Full => 100,
        }
    }

    /// How long what is cut off for a time is cut off.
    fn away(self) -> Duration {
        match self {
            Self::Short => Duration::from_secs(15),
            Self::Full => Duration::from_secs(60),
        }
    }
}

/// Two login servers, three gateways, one node for people, three etcd.
fn plan() -> Plan {
    Plan {
        etcds: 3,
        nodes: vec![
            ("login1", "login"),
            ("login2", "login"),
            ("gw1", "gateway"),
            ("gw2", "gateway"),
            ("gw3", "gateway"),
            ("api1", "api,media"),
        ],
        env: vec![("MOTORCADE__LOGIN__REDIRECT_LIMIT_MIN", "1".to_owned())],
    }
}

/// Lets a fault last.
fn last_for(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// The login server that says that it leads.
fn leader(cluster: &Cluster) -> Option<&'static str> {
    let mut logins = cluster.nodes.iter().map(|node| node.name).filter(|name| name.starts_with("login"));
    logins.find(|login| leads(cluster, login))
}

/// Whether a node says that it leads.
fn leads(cluster: &Cluster, node: &str) -> bool {
    cluster.metric(node, "motorcade_cluster_leads") == Some(1)
}
