//! What a node is that is alone: its own gateway is the only one, and nobody else is asked or told anything.

use std::sync::Arc;

use cluster::dispatch::{Arrivals, Candidate, Candidates, Dispatch, Gateways};
use cluster::proxy::{ClusterSecret, Unsealer};
use cluster::{Advertise, Holders, Incarnation, NodeId};
use futures_util::StreamExt as _;
use model::TerminalId;
use tokio::sync::watch;

use super::ground::Ground;
use super::roles::Roles;
use crate::member::Seals;

/// The name of a node that is alone.
pub(super) fn name() -> NodeId {
    "motorcade".parse().expect("a name")
}

/// What makes a gateway the only one: its own disk has to do, and its own login server splices.
pub(super) fn gateway(secret: ClusterSecret) -> gateway::Membership {
    gateway::Membership {
        node: name(),
        incarnation: Incarnation(rand::random()),
        // for ever: nobody changes it
        peers: watch::channel(None).1,
        splices: Arc::new(Seals(Unsealer::new(secret))),
    }
}

/// What it says of itself.
pub(super) fn info(
    ground: &Ground,
    roles: Roles,
    gateway: Option<&gateway::Gateway>,
    media: Option<cluster::MediaServer>,
) -> cluster::NodeInfo {
    cluster::NodeInfo {
        node: name(),
        incarnation: Incarnation(rand::random()),
        dialect: cluster::DIALECT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        roles: roles.names(),
        // no other node is there to call it
        seams: Advertise { host: None, port: 0 },
        gateway: gateway.map(|gateway| super::gateway::dial(ground, gateway)),
        media,
        web: super::api::dial(ground, roles),
        limits: cluster::Limits { terminals: super::gateway::limit(ground) },
        started_at: chrono::Utc::now(),
    }
}

/// Sends every terminal to its gateway.
pub(super) fn dispatch(ground: &Ground, gateway: &gateway::Gateway) -> Dispatch {
    let only = Arc::new(Only {
        node: name(),
        dial: super::gateway::dial(ground, gateway),
        limit: super::gateway::limit(ground),
        control: gateway.control(),
    });
    let dispatch = Dispatch::new(Arc::clone(&only) as Arc<dyn Gateways>, only);
    tell_arrivals(gateway, dispatch.arrivals());
    dispatch
}

struct Only {
    node: NodeId,
    dial: Advertise,
    limit: u32,
    control: gateway::Control,
}

impl Holders for Only {
    fn holder_of(&self, terminal: TerminalId) -> Option<NodeId> {
        self.control.holds(terminal).then(|| self.node.clone())
    }

    /// It is asked itself each time.
    fn forget(&self, _: TerminalId, _: &NodeId) {}
}

impl Gateways for Only {
    fn candidates(&self) -> Candidates {
        let only = Candidate {
            node: self.node.clone(),
            dial: Some(self.dial.clone()),
            limit: self.limit,
            terminals: u32::try_from(self.control.stats().terminals).unwrap_or(u32::MAX),
            measured_at_ms: chrono::Utc::now().timestamp_millis(),
            unfit: None,
        };
        Candidates { gateways: vec![only], dispatchers: 1 }
    }
}

/// Lets its dispatcher hear who has arrived. Ends with the process.
fn tell_arrivals(gateway: &gateway::Gateway, arrivals: Arrivals) {
    let (links, node) = (gateway.links(), name());
    tokio::spawn(async move {
        loop {
            let (all, mut changes) = links.follow();
            arrivals.told_all(&node, &all);
            while let Some(change) = changes.next().await {
                arrivals.told(&node, change);
            }
            tokio::task::yield_now().await;
        }
    });
}
