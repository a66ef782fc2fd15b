//! What is acknowledged, and who is served, while parts of a cluster die, are cut off, freeze or are restarted: each fault
//! on a real one, under reports from every terminal all the time.
//!
//! A short form runs by default; the full one with `MOTORCADE_CLUSTER_FAULTS=full` (`scripts/cluster-faults`). With
//! `MOTORCADE_CLUSTER_FAULT=…` only the faults whose names contain that, in either form.

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
            Self::Short => 20,
            Self::Full => 100,
        }
    }

    /// What the terminals are told that differs: how often they report; how long they wait for an answer at first (and in
    /// all, 33 times that, before they hold a link that takes what they say for dead); how long a minute of a redirect
    /// lasts, which is renewed after 30 s.
    fn manners(self) -> [&'static str; 6] {
        match self {
            Self::Short => ["--interval-ms", "200", "--answer-timeout-ms", "500", "--minute-ms", "35000"],
            Self::Full => ["--interval-ms", "100", "--answer-timeout-ms", "1500", "--minute-ms", "60000"],
        }
    }

    /// How long what is cut off for a time is cut off.
    fn away(self) -> Duration {
        match self {
            Self::Short => Duration::from_secs(10),
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

/// Series of faults, each on a cluster of its own: one after another in the full form, whose times are to be those of a
/// machine that does nothing else; all at once in the short one, most of which is waiting.
fn series(all: &[fn()]) {
    match Form::chosen() {
        Form::Full => all.iter().for_each(|one| one()),
        Form::Short => std::thread::scope(|scope| all.iter().for_each(|one| _ = scope.spawn(one))),
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
