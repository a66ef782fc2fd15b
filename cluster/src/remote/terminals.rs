//! The terminals of the cluster as one: each command goes to the gateway that holds its terminal.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use model::{Command, Reply, SendError, TerminalId, TerminalLink};
use tracing::{debug, warn};

use super::{CallError, Peer, Peers};
use crate::{Holders, NodeId, Role, Terminals};

/// Finds a terminal's gateway in the directory of this node, else asks the login server that leads.
pub struct RemoteTerminals {
    own: Option<Arc<dyn Terminals>>,
    holders: Arc<dyn Holders>,
    peers: Arc<Peers>,
}

impl RemoteTerminals {
    /// `own` are the terminals of this node, if it is a gateway; `holders` is what this node knows of all gateways.
    pub fn new(own: Option<Arc<dyn Terminals>>, holders: Arc<dyn Holders>, peers: Arc<Peers>) -> Self {
        Self { own, holders, peers }
    }

    /// The node that holds the terminal, as far as anybody knows, other than `but`.
    async fn holder(&self, terminal: TerminalId, but: Option<&NodeId>) -> Option<NodeId> {
        if let Some(node) = self.holders.holder_of(terminal).filter(|node| Some(node) != but) {
            return Some(node);
        }
        match self.peers.leader()?.gateway_of(terminal).await {
            Ok(node) => node.filter(|node| Some(node) != but),
            Err(error) => {
                debug!(terminal.id = %terminal, "the leader does not say where terminal {terminal} is: {error}");
                None
            }
        }
    }

    /// The gateway that is to be asked first.
    async fn first(&self, terminal: TerminalId) -> Option<(NodeId, Arc<dyn Terminals>)> {
        let node = self.holder(terminal, None).await?;
        let gateway = self.at(&node)?;
        Some((node, gateway))
    }

    /// The gateway that is to be asked when `first` does not hold the terminal.
    async fn second(&self, terminal: TerminalId, first: &NodeId) -> Option<Arc<dyn Terminals>> {
        self.holders.forget(terminal, first);
        let node = self.holder(terminal, Some(first)).await?;
        self.at(&node)
    }

    fn at(&self, node: &NodeId) -> Option<Arc<dyn Terminals>> {
        if node == self.peers.me() {
            return self.own.clone();
        }
        Some(Arc::new(AtGateway { peer: self.peers.peer(node).ok()? }))
    }
}

#[async_trait]
impl Terminals for RemoteTerminals {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        let Some((node, gateway)) = self.first(terminal).await else {
            return Err(SendError::NotConnected(terminal));
        };
        match gateway.link(terminal).await {
            Err(SendError::NotConnected(_)) => {}
            answer => return answer,
        }
        match self.second(terminal, &node).await {
            Some(gateway) => gateway.link(terminal).await,
            None => Err(SendError::NotConnected(terminal)),
        }
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        let Some((node, gateway)) = self.first(terminal).await else {
            return Err(SendError::NotConnected(terminal));
        };
        match gateway.send(terminal, command.clone()).await {
            Err(SendError::NotConnected(_)) => {}
            answer => return answer,
        }
        match self.second(terminal, &node).await {
            Some(gateway) => gateway.send(terminal, command).await,
            None => Err(SendError::NotConnected(terminal)),
        }
    }

    /// Tells every gateway and login server: one may know a terminal that it does not hold now, and would let it in
    /// again.
    async fn disconnect(&self, terminal: TerminalId) {
        let others = self.peers.with_any(&[Role::Gateway, Role::Login]).into_iter();
        let others = others.map(|peer| Arc::new(AtGateway { peer }) as Arc<dyn Terminals>);
        let all: Vec<_> = others.chain(self.own.clone()).collect();
        join_all(all.iter().map(|node| node.disconnect(terminal))).await;
    }
}

/// The terminals of one other gateway.
struct AtGateway {
    peer: Arc<Peer>,
}

#[async_trait]
impl Terminals for AtGateway {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        self.peer.link(terminal).await.unwrap_or_else(|error| Err(unanswered(terminal, &error)))
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        self.peer.send(terminal, command).await.unwrap_or_else(|error| Err(unanswered(terminal, &error)))
    }

    async fn disconnect(&self, terminal: TerminalId) {
        if let Err(error) = self.peer.disconnect(terminal).await {
            warn!(terminal.id = %terminal, "terminal {terminal} may go on at {}: {error}", self.peer.node());
        }
    }
}

/// What it means for a command that its gateway did not answer: the terminal may have heard of it, or has not.
fn unanswered(terminal: TerminalId, error: &CallError) -> SendError {
    debug!(terminal.id = %terminal, "no answer for terminal {terminal}: {error}");
    match error {
        CallError::NotMember(_) | CallError::Unreachable { .. } | CallError::Refused { .. } => {
            SendError::NotConnected(terminal)
        }
        CallError::Timeout(_) => SendError::Timeout(terminal),
        CallError::Lost { .. } => SendError::Disconnected(terminal),
    }
}
