//! A cluster that a test makes up.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cluster::dispatch::{Candidates, Gateways};
use cluster::{
    Advertise, ClusterReport, DIALECT, DrainError, Epoch, Holders, Incarnation, Leader, Limits, Load,
    MediaServer, Member, NodeId, NodeInfo, Nodes, Role, Sighting, Sightings, View, WebServer,
};
use model::TerminalId;

/// The node that answers in every test.
pub const OURS: &str = "api1";

/// What [`OURS`] knows of a cluster; at first only of itself, and that it leads.
pub struct MadeUp(Mutex<Known>);

struct Known {
    view: View,
    sightings: Sightings,
    etcd_away_since: Option<DateTime<Utc>>,
    held: HashMap<TerminalId, NodeId>,
}

impl Default for MadeUp {
    fn default() -> Self {
        let leader = Leader { node: id(OURS), incarnation: Incarnation(1), epoch: Epoch(5) };
        let view = View { revision: 1, leader: Some(leader), ..View::default() };
        let known = Known { view, sightings: Sightings::new(), etcd_away_since: None, held: HashMap::new() };
        let cluster = Self(Mutex::new(known));
        cluster.join(OURS, &[Role::Login, Role::Api]);
        cluster.hear(OURS, 0, 0);
        cluster
    }
}

fn id(name: &str) -> NodeId {
    name.parse().expect("a name")
}

impl MadeUp {
    /// From now on there is a node that was not heard of yet.
    pub fn join(&self, name: &str, roles: &[Role]) {
        let address = |role, port| roles.contains(&role).then_some(Advertise { host: None, port });
        let info = NodeInfo {
            node: id(name),
            incarnation: Incarnation(1),
            dialect: DIALECT,
            version: "0.1.0".to_owned(),
            roles: roles.to_vec(),
            seams: Advertise { host: Some(format!("{name}.example")), port: 7000 },
            gateway: address(Role::Gateway, 6608),
            media: None,
            web: None,
            limits: Limits { terminals: 16_000 },
            started_at: DateTime::UNIX_EPOCH,
        };
        let member = Member { info, is_draining: false };
        self.0.lock().expect("no panic").view.members.insert(id(name), member);
    }

    /// A node answered with a clock that is so far off, and has left so many questions unanswered since.
    pub fn hear(&self, name: &str, clock_offset_ms: i64, missed: u32) {
        let load = Load {
            terminals: 5_000,
            viewers: 12,
            cpu_permille: 250,
            memory_bytes: 3,
            memory_max_bytes: 4,
            storage_bytes: 5,
            storage_max_bytes: 6,
        };
        let sighting = Sighting {
            incarnation: Incarnation(1),
            missed,
            load,
            measured_at_ms: 1_000,
            clock_offset_ms,
            is_draining: false,
            copies: Vec::new(),
        };
        self.0.lock().expect("no panic").sightings.insert(id(name), sighting);
    }

    /// From now on `name` may be dialled by clients too, and so many of them watch there.
    pub fn open(&self, name: &str, viewers: u32, cpu_permille: u16) {
        let mut known = self.0.lock().expect("no panic");
        let info = &mut known.view.members.get_mut(&id(name)).expect("joined").info;
        let at = |port| Advertise { host: Some(format!("{name}.example")), port };
        info.media =
            info.runs(Role::Media).then(|| MediaServer { viewer: at(6604), tls: false, live: at(6602) });
        info.web = info.runs(Role::Api).then(|| WebServer { dial: at(8443), tls: true });
        let load = &mut known.sightings.get_mut(&id(name)).expect("heard").load;
        (load.viewers, load.cpu_permille) = (viewers, cpu_permille);
    }

    /// From now on the gateway `name` holds `terminal`.
    pub fn hold(&self, terminal: TerminalId, name: &str) {
        self.0.lock().expect("no panic").held.insert(terminal, id(name));
    }

    /// Etcd is away since then, or there again.
    pub fn lose_etcd(&self, since: Option<DateTime<Utc>>) {
        self.0.lock().expect("no panic").etcd_away_since = since;
    }

    fn mark(&self, node: &NodeId, is_draining: bool) -> Result<(), DrainError> {
        let mut known = self.0.lock().expect("no panic");
        if known.etcd_away_since.is_some() {
            return Err(DrainError::Unavailable);
        }
        if known.view.members.len() == 1 {
            return Err(DrainError::Alone);
        }
        let member = known.view.members.get_mut(node).ok_or_else(|| DrainError::NotFound(node.clone()))?;
        member.is_draining = is_draining;
        Ok(())
    }
}

impl Gateways for MadeUp {
    fn candidates(&self) -> Candidates {
        let known = self.0.lock().expect("no panic");
        Candidates::of(&known.view, &known.sightings)
    }
}

impl Holders for MadeUp {
    fn holder_of(&self, terminal: TerminalId) -> Option<NodeId> {
        self.0.lock().expect("no panic").held.get(&terminal).cloned()
    }

    fn forget(&self, _: TerminalId, _: &NodeId) {}
}

#[async_trait]
impl Nodes for MadeUp {
    fn report(&self) -> ClusterReport {
        let known = self.0.lock().expect("no panic");
        ClusterReport::of(id(OURS), &known.view, &known.sightings, known.etcd_away_since)
    }

    async fn drain(&self, node: &NodeId) -> Result<(), DrainError> {
        self.mark(node, true)
    }

    async fn undrain(&self, node: &NodeId) -> Result<(), DrainError> {
        self.mark(node, false)
    }
}
