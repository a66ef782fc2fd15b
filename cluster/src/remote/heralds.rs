//! Tells gateways which terminals are on their way to them, for their traces.
//!
//! Who tells never waits: what finds no room, or no gateway, is forgotten, and the terminal's trace begins anew where it
//! arrives.

use std::sync::Arc;

use futures_util::StreamExt as _;
use model::TerminalId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::Peers;
use crate::NodeId;
use crate::trace::{Expects, Heralds, Traceparent, within};

/// Terminals that wait to be told of: what a login server sends away in about a second.
const WAITING_MAX: usize = 1_024;

/// Calls under way at once: they take a millisecond each, but for a gateway that has just died.
const CALLS_MAX: usize = 16;

/// As long as it lives, tells what it is told.
pub struct RemoteHeralds {
    own: Option<Arc<dyn Expects>>,
    peers: Arc<Peers>,
    waiting: mpsc::Sender<(NodeId, TerminalId, Traceparent)>,
    _telling: AbortOnDropHandle<()>,
}

impl RemoteHeralds {
    /// `own` is this node's gateway, if it is one. Must be called inside a tokio runtime.
    pub fn new(own: Option<Arc<dyn Expects>>, peers: Arc<Peers>) -> Self {
        let (waiting, told) = mpsc::channel(WAITING_MAX);
        let telling = tokio::spawn(tell(Arc::clone(&peers), told));
        Self { own, peers, waiting, _telling: AbortOnDropHandle::new(telling) }
    }
}

impl Heralds for RemoteHeralds {
    fn on_its_way(&self, gateway: &NodeId, terminal: TerminalId, context: Traceparent) {
        if gateway == self.peers.me() {
            if let Some(own) = &self.own {
                own.expect(terminal, context);
            }
        } else if self.waiting.try_send((gateway.clone(), terminal, context)).is_err() {
            debug!(terminal.id = %terminal, "{gateway} is not told that terminal {terminal} comes: too many do");
        }
    }
}

async fn tell(peers: Arc<Peers>, told: mpsc::Receiver<(NodeId, TerminalId, Traceparent)>) {
    let told = ReceiverStream::new(told);
    told.for_each_concurrent(CALLS_MAX, async |(gateway, terminal, context)| {
        let told = match peers.peer(&gateway) {
            Ok(peer) => within(Some(context), peer.expect(terminal)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            debug!(terminal.id = %terminal, "{gateway} is not told that terminal {terminal} comes: {error}");
        }
    })
    .await;
}
