//! Asks every other node each second how it is, and keeps what was heard: also of one that has left the View, as long as
//! it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::follow::{Follower, each};
use super::{CallError, Peer, Peers};
use crate::sighting::{Sighting, Sightings};
use crate::wire::{NodeStatus, StatusFn};
use crate::{Incarnation, NodeId, NodeInfo};

/// How often a node is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The sightings of this node, as they change.
pub type SightingsSeen = watch::Receiver<Arc<Sightings>>;

/// Asks every other node of the View how it is, as long as this lives.
pub struct Lookout {
    seen: SightingsSeen,
    _others: AbortOnDropHandle<()>,
    _own: AbortOnDropHandle<()>,
}

impl Lookout {
    /// `status` says how this node is, which is among the sightings. Must be called inside a tokio runtime.
    pub fn begin(peers: Arc<Peers>, status: Arc<StatusFn>) -> Self {
        let (sender, seen) = watch::channel(Arc::new(BTreeMap::new()));
        let table = Arc::new(Table { sender });
        let own = tokio::spawn(look_at_oneself(peers.me().clone(), status, Arc::clone(&table)));
        let others = each(peers, table);
        Self { seen, _others: others, _own: AbortOnDropHandle::new(own) }
    }

    /// What was heard last.
    pub fn sightings(&self) -> SightingsSeen {
        self.seen.clone()
    }
}

struct Table {
    sender: watch::Sender<Arc<Sightings>>,
}

impl Table {
    fn change(&self, change: impl FnOnce(&mut Sightings)) {
        self.sender.send_modify(|sightings| change(Arc::make_mut(sightings)));
    }
}

async fn look_at_oneself(me: NodeId, status: Arc<StatusFn>, table: Arc<Table>) {
    let mut ticks = tokio::time::interval(ASK_EVERY);
    loop {
        ticks.tick().await;
        let sighting = heard(status(), 0);
        table.change(|sightings| _ = sightings.insert(me.clone(), sighting));
    }
}

impl Follower for Table {
    fn wants(&self, _: &NodeInfo) -> bool {
        true
    }

    /// Its lease is one witness of a node's life and its answers are the other: one that answers without a lease is asked
    /// on until it does not.
    fn lets_go(&self, node: &NodeId) -> bool {
        !self.sender.borrow().get(node).is_some_and(Sighting::is_in_sight)
    }

    async fn follow(self: Arc<Self>, peer: Arc<Peer>, incarnation: Incarnation) {
        // What an earlier life of it said does not count.
        self.change(|sightings| _ = sightings.remove(peer.node()));
        let mut last_error = None;
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (asked_at, asked) = (Utc::now(), Instant::now());
            let answer = peer.status().await.and_then(|status| is_that_life(&peer, status, incarnation));
            match answer {
                Ok(status) => {
                    let offset_ms = clock_offset_ms(status.now, asked_at, Utc::now());
                    let sighting = heard(status, offset_ms);
                    self.change(|sightings| _ = sightings.insert(peer.node().clone(), sighting));
                    if last_error.take().is_some() {
                        info!("{} answers again", peer.node());
                    }
                }
                Err(error) => {
                    // Those that would have been asked meanwhile count too.
                    let missed = u32::try_from(1 + asked.elapsed().as_secs()).unwrap_or(u32::MAX);
                    let offset_ms =
                        clock_told(&error).map(|told| clock_offset_ms(told, asked_at, Utc::now()));
                    self.change(|sightings| {
                        if let Some(sighting) = sightings.get_mut(peer.node()) {
                            sighting.missed = sighting.missed.saturating_add(missed);
                            sighting.clock_offset_ms = offset_ms.unwrap_or(sighting.clock_offset_ms);
                        }
                    });
                    let text = error.to_string();
                    if last_error.as_ref() != Some(&text) {
                        warn!(error = &error as &(dyn std::error::Error + 'static), "{text}");
                        last_error = Some(text);
                    }
                }
            }
        }
    }

    fn gone(&self, node: &NodeId) {
        self.change(|sightings| _ = sightings.remove(node));
    }
}

fn heard(status: NodeStatus, clock_offset_ms: i64) -> Sighting {
    let NodeStatus { incarnation, load, is_draining, now, revision: _, epoch: _, copies } = status;
    let measured_at_ms = now.timestamp_millis();
    Sighting { incarnation, missed: 0, load, measured_at_ms, clock_offset_ms, is_draining, copies }
}

/// Another process under its name is not who was asked.
fn is_that_life(peer: &Peer, status: NodeStatus, expected: Incarnation) -> Result<NodeStatus, CallError> {
    if status.incarnation == expected {
        return Ok(status);
    }
    let why = format!("life {} of it answers, {expected} is in the View", status.incarnation);
    Err(CallError::Lost { node: peer.node().clone(), why })
}

/// Its clock less ours, milliseconds, when it said `theirs` at some time between `asked` and `answered`. Wrong by half
/// of the way there and back at most.
fn clock_offset_ms(theirs: DateTime<Utc>, asked: DateTime<Utc>, answered: DateTime<Utc>) -> i64 {
    let (asked, answered) = (asked.timestamp_millis(), answered.timestamp_millis());
    theirs.timestamp_millis() - (asked + (answered - asked) / 2)
}

/// The clock of a node that refused because of it.
fn clock_told(error: &CallError) -> Option<DateTime<Utc>> {
    match error {
        CallError::Refused { clock_ms, .. } => DateTime::from_timestamp_millis((*clock_ms)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_call() {
        let at = |ms: i64| DateTime::from_timestamp_millis(1_800_000_000_000 + ms).expect("a time");
        assert_eq!(clock_offset_ms(at(1_050), at(1_000), at(1_100)), 0);
        assert_eq!(clock_offset_ms(at(11_050), at(1_000), at(1_100)), 10_000);
        assert_eq!(clock_offset_ms(at(0), at(1_000), at(1_100)), -1_050);
        // Our clock was put back meanwhile.
        assert_eq!(clock_offset_ms(at(1_000), at(1_100), at(900)), 0);
    }

    #[test]
    fn a_refusal_tells_the_clock_of_the_node_that_refused() {
        let node: NodeId = "gw1".parse().expect("a name");
        let refused = |clock_ms| CallError::Refused { node: node.clone(), why: String::new(), clock_ms };
        assert_eq!(clock_told(&refused(Some(5))), DateTime::from_timestamp_millis(5));
        assert_eq!(clock_told(&refused(None)), None);
        assert_eq!(clock_told(&refused(Some(i64::MAX))), None);
        assert_eq!(clock_told(&CallError::Timeout(node)), None);
    }
}
