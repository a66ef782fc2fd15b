//! The one way in which a node sends terminals to gateways: its login server, its API and whoever hears of arrivals
//! share one [`Dispatcher`].
//!
//! Knows neither how gateways are seen nor how a terminal is told where to go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::TerminalId;
use parking_lot::Mutex;

use super::{Assignment, Candidates, Dispatcher, RESERVED_FOR};
use crate::{Advertise, Holders, LinkChange, LinkStamp, NodeId};

/// Which gateways there are, as this node sees them now.
pub trait Gateways: Send + Sync {
    /// All of them, the unfit ones too.
    fn candidates(&self) -> Candidates;
}

/// Sends terminals to gateways. Cheap to clone: the clones share what they remember.
#[derive(Clone)]
pub struct Dispatch {
    gateways: Arc<dyn Gateways>,
    holders: Arc<dyn Holders>,
    dispatcher: Arc<Mutex<Dispatcher>>,
}

/// The gateway of a terminal that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directions {
    /// Where the terminal dials it.
    pub dial: Advertise,
    /// Whether the gateway has the terminal's link already, as far as is known.
    pub is_there: bool,
    /// For how long whoever asks again is told the same, unless the gateway becomes unfit.
    pub hold_for: Duration,
}

impl Dispatch {
    /// Over these gateways; nobody is on their way yet.
    pub fn new(gateways: Arc<dyn Gateways>, holders: Arc<dyn Holders>) -> Self {
        Self { gateways, holders, dispatcher: Arc::default() }
    }

    /// The gateway for a terminal that has authenticated at a login server: see [`Dispatcher::assign`].
    pub fn assign(&self, terminal: TerminalId) -> Option<Assignment> {
        let candidates = self.gateways.candidates();
        self.dispatcher.lock().assign(Instant::now(), &candidates, terminal)
    }

    /// The gateway for a terminal that somebody else asks for: the one that holds it, as long as that is fit, else one
    /// at which it counts as on its way from now on (see [`Dispatcher::ask`]). None while no gateway is fit and has
    /// room.
    pub fn ask(&self, terminal: TerminalId) -> Option<Directions> {
        let candidates = self.gateways.candidates();
        if let Some(holder) = self.holders.holder_of(terminal)
            && let Some(gateway) = candidates.gateways.iter().find(|gateway| gateway.node == holder)
            && let (None, Some(dial)) = (gateway.unfit, &gateway.dial)
        {
            return Some(Directions { dial: dial.clone(), is_there: true, hold_for: RESERVED_FOR });
        }
        let now = Instant::now();
        let (assignment, until) = self.dispatcher.lock().ask(now, &candidates, terminal)?;
        let hold_for = until.saturating_duration_since(now);
        Some(Directions { dial: assignment.dial, is_there: false, hold_for })
    }

    /// How many terminals were sent to a gateway and have not arrived there yet.
    pub fn awaited(&self) -> usize {
        self.dispatcher.lock().reservations()
    }

    /// Who is to hear which terminals have arrived at their gateways.
    pub fn arrivals(&self) -> Arrivals {
        Arrivals { dispatcher: Arc::clone(&self.dispatcher) }
    }
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dispatch")
    }
}

/// Hears of the terminals that gateways hold, so that they do not count as on their way any more. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrivals {
    dispatcher: Arc<Mutex<Dispatcher>>,
}

impl Arrivals {
    /// All links of `gateway`.
    pub fn told_all(&self, gateway: &NodeId, links: &[(TerminalId, LinkStamp)]) {
        let mut dispatcher = self.dispatcher.lock();
        for (terminal, _) in links {
            dispatcher.listed(*terminal, gateway);
        }
    }

    /// One link of `gateway` changed.
    pub fn told(&self, gateway: &NodeId, change: LinkChange) {
        if change.is_up {
            let now = Instant::now();
            self.dispatcher.lock().arrived(now, change.terminal, gateway, change.stamp.since_ms);
        }
    }

    /// How many terminals count as on their way.
    pub fn awaited(&self) -> usize {
        self.dispatcher.lock().reservations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{Candidate, Unfit};
    use crate::testing::node;

    /// Two gateways, `a` with less to carry, and one terminal that `b` may hold.
    struct Scene {
        unfit: Mutex<Option<Unfit>>,
        held: Mutex<Option<NodeId>>,
    }

    impl Gateways for Scene {
        fn candidates(&self) -> Candidates {
            let gateway = |name: &str, terminals, unfit| Candidate {
                node: node(name),
                dial: Some(Advertise { host: Some(name.to_owned()), port: 6608 }),
                limit: 10,
                terminals,
                measured_at_ms: 0,
                unfit,
            };
            let gateways = vec![gateway("a", 1, None), gateway("b", 5, *self.unfit.lock())];
            Candidates { gateways, dispatchers: 1 }
        }
    }

    impl Holders for Scene {
        fn holder_of(&self, _: TerminalId) -> Option<NodeId> {
            self.held.lock().clone()
        }

        fn forget(&self, _: TerminalId, _: &NodeId) {}
    }

    #[test]
    fn who_is_held_stays_where_it_is_as_long_as_that_gateway_is_fit() {
        let scene = Arc::new(Scene { unfit: Mutex::default(), held: Mutex::new(Some(node("b"))) });
        let dispatch = Dispatch::new(Arc::clone(&scene) as _, Arc::clone(&scene) as _);
        let told = |dispatch: &Dispatch| {
            let Directions { dial, is_there, .. } = dispatch.ask(TerminalId(1)).expect("a gateway");
            (dial.host.expect("a host"), is_there)
        };
        assert_eq!(told(&dispatch), ("b".to_owned(), true));
        assert_eq!(dispatch.arrivals().awaited(), 0, "it is there");
        for unfit in [Unfit::Draining, Unfit::Unseen] {
            *scene.unfit.lock() = Some(unfit);
            assert_eq!(told(&dispatch), ("a".to_owned(), false));
        }
        assert_eq!(dispatch.arrivals().awaited(), 1);
        *scene.held.lock() = None;
        *scene.unfit.lock() = None;
        assert_eq!(told(&dispatch), ("a".to_owned(), false), "the same again");
        let stamp = LinkStamp { epoch: None, since_ms: 1 };
        dispatch.arrivals().told_all(&node("a"), &[(TerminalId(1), stamp)]);
        assert_eq!(dispatch.arrivals().awaited(), 0);
    }
}
