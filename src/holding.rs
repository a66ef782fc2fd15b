//! What this node knows of who holds which terminal, and who on it is told of that.
//!
//! Glue: what is believed is decided by the [`Directory`].

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cluster::directory::{Directory, StaleLink, Subscription};
use cluster::dispatch::Arrivals;
use cluster::trace::{Message, Party, Step, StepTaken, Trace};
use cluster::{Holders, LinkChange, LinkListener, LinkStamp, Links, NodeId};
use futures_util::StreamExt as _;
use model::TerminalId;
use parking_lot::Mutex;

/// Closes a link of this node's gateway that is older than the one of the stamp.
type Close = Box<dyn Fn(TerminalId, LinkStamp) + Send + Sync>;

/// The terminals of the cluster and their gateways, as told.
pub(crate) struct Holding {
    me: NodeId,
    told: Mutex<Told>,
    close: OnceLock<Close>,
    arrivals: OnceLock<Arrivals>,
    trace: Trace,
}

#[derive(Default)]
struct Told {
    directory: Directory,
    /// The newest of each gateway that speaks.
    subscriptions: HashMap<NodeId, Subscription>,
}

impl Holding {
    /// Of the node `me`; nothing is known yet.
    pub(crate) fn new(me: NodeId, trace: Trace) -> Self {
        Self { me, told: Mutex::default(), close: OnceLock::new(), arrivals: OnceLock::new(), trace }
    }

    /// Links of this node's gateway that turn out to be old are closed by this.
    pub(crate) fn closes(&self, close: impl Fn(TerminalId, LinkStamp) + Send + Sync + 'static) {
        let _ = self.close.set(Box::new(close));
    }

    /// The dispatcher of this node hears who has arrived where.
    pub(crate) fn tells(&self, arrivals: Arrivals) {
        let _ = self.arrivals.set(arrivals);
    }

    /// Takes in the links of this node's own gateway, as long as it runs.
    pub(crate) async fn follow_own(self: Arc<Self>, links: Arc<dyn Links>) {
        loop {
            let (all, mut changes) = links.follow();
            self.told_all(&self.me, all);
            // Its end says that this was too slow: once more from the beginning.
            while let Some(change) = changes.next().await {
                self.told(&self.me, change);
            }
            tokio::task::yield_now().await;
        }
    }

    /// This node knows now which gateway has the terminal.
    fn trace_learned(&self, gateway: &NodeId, change: LinkChange) {
        if *gateway == self.me || change.trace.is_none() {
            return;
        }
        let words = Message::Words("link up".into());
        self.trace.record(change.trace, |me| StepTaken {
            terminal: Some(change.terminal),
            ..StepTaken::now(Step::Stored, Party::Node(gateway.clone()), me, words)
        });
    }

    fn close_own(&self, stale: Vec<StaleLink>) {
        let Some(close) = self.close.get() else { return };
        for link in stale.into_iter().filter(|link| link.gateway == self.me) {
            let newest = self.told.lock().directory.stamp_of(link.terminal);
            if let Some(newest) = newest {
                close(link.terminal, newest);
            }
        }
    }
}

impl Holders for Holding {
    fn holder_of(&self, terminal: TerminalId) -> Option<NodeId> {
        self.told.lock().directory.of(terminal).cloned()
    }

    fn forget(&self, terminal: TerminalId, node: &NodeId) {
        self.told.lock().directory.forget(terminal, node);
    }
}

impl LinkListener for Holding {
    fn told_all(&self, node: &NodeId, links: Vec<(TerminalId, LinkStamp)>) {
        if let Some(arrivals) = self.arrivals.get() {
            arrivals.told_all(node, &links);
        }
        let stale = {
            let Told { directory, subscriptions } = &mut *self.told.lock();
            let subscription = directory.subscribe(node);
            let stale = directory.snapshot(&subscription, links);
            subscriptions.insert(node.clone(), subscription);
            stale
        };
        self.close_own(stale);
    }

    fn told(&self, node: &NodeId, change: LinkChange) {
        if let Some(arrivals) = self.arrivals.get() {
            arrivals.told(node, change);
        }
        let stale = {
            let Told { directory, subscriptions } = &mut *self.told.lock();
            // Nobody tells changes before everything.
            let Some(subscription) = subscriptions.get(node) else { return };
            directory.changed(subscription, change)
        };
        self.close_own(stale);
        self.trace_learned(node, change);
    }

    fn gone(&self, node: &NodeId) {
        let Told { directory, subscriptions } = &mut *self.told.lock();
        subscriptions.remove(node);
        directory.leave(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(since_ms: i64) -> LinkStamp {
        LinkStamp { epoch: None, since_ms }
    }

    #[test]
    fn an_own_link_that_another_gateway_has_taken_over_is_closed() {
        let [me, other]: [NodeId; 2] = ["gw1", "gw2"].map(|name| name.parse().expect("a name"));
        let holding = Holding::new(me.clone(), Trace::off());
        let closed: Arc<Mutex<Vec<(TerminalId, LinkStamp)>>> = Arc::default();
        let seen = Arc::clone(&closed);
        holding.closes(move |terminal, stamp| seen.lock().push((terminal, stamp)));
        let (stays, moves) = (TerminalId(1), TerminalId(2));
        holding.told_all(&me, vec![(stays, stamp(10)), (moves, stamp(10))]);
        holding.told_all(&other, vec![]);
        assert_eq!(holding.holder_of(moves), Some(me.clone()));

        holding.told(&other, LinkChange { terminal: moves, stamp: stamp(20), is_up: true, trace: None });
        assert_eq!(*closed.lock(), [(moves, stamp(20))]);
        assert_eq!(holding.holder_of(moves), Some(other.clone()));
        assert_eq!(holding.holder_of(stays), Some(me));

        // a gateway that left holds nothing; what it still says is not heard
        holding.gone(&other);
        holding.told(&other, LinkChange { terminal: stays, stamp: stamp(30), is_up: true, trace: None });
        assert_eq!(closed.lock().len(), 1);
    }
}
