//! Copies of spools on other gateways' disks, both sides: what of ours lies with a peer, and what we keep for others.
//!
//! The promise, in a cluster: what is acknowledged from the spool lies on the own disk and on that of one peer until
//! it is in the database; and when an acknowledgement leaves, everything before it in the spool that is not stored
//! lies with that same peer. So a new peer, and the first one of a new life, gets all of the spool that is not
//! stored before anything new is acknowledged. The [copier] does that with a cursor on the spool; the [ledger] knows
//! which batch went where; [tell] says to peers what they may forget; [kept] is the receiving side.
//!
//! Batches are numbered anew in each life, and no number is used twice, so that nothing that comes late can be taken
//! for something else. Which lives wrote a spool stands in its folder ([lives]): of these, and of no others, a later
//! life says that their copies may go. A copy whose origin lost its folder stays until it is adopted.

mod copier;
mod kept;
mod ledger;
mod lives;
#[cfg(test)]
mod schedules;
mod tell;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{CopyPeers, Incarnation, NodeId};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, watch};

pub use kept::CopyStats;

pub(crate) use copier::copy;
pub(crate) use kept::{Keeping, Kept};
pub(crate) use tell::tell;

use crate::spool::{Place, Spool};
use ledger::Ledger;

/// How long reports in the spool wait for their copy before they stay unanswered. Enough for one peer that is slow
/// and given up, and another one; less than terminals wait before they send again.
const SAFE_WITHIN: Duration = Duration::from_secs(10);

/// Whose spool a copy is of: a gateway's, as one life of it wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CopyOf {
    /// The gateway.
    pub origin: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

/// This gateway as one that has its spool copied.
pub(crate) struct Copying {
    me: CopyOf,
    /// Lives that wrote what was found in the spool, and earlier ones.
    former: Vec<Incarnation>,
    peers: CopyPeers,
    ledger: Mutex<Ledger>,
    /// Everything before that is not stored lies with a peer, or did when it was asked.
    copied: watch::Sender<Place>,
    /// Whether no peer is there that is not given up for a while.
    has_nobody: watch::Sender<bool>,
    /// Appends that wait for their copy.
    waiting: AtomicUsize,
    /// Wakes the copier.
    look: Notify,
}

impl Copying {
    /// Notes in the spool's folder that this life writes there too. To be called before anything is copied.
    ///
    /// A disk that has no room for the note keeps nobody from being served: later lives do not know of this one then,
    /// and what is copied of it is stored on the leader's word.
    pub(crate) fn enter(dir: &Path, me: CopyOf, peers: CopyPeers) -> std::io::Result<Self> {
        let former = lives::former(dir, me.incarnation)?;
        if let Err(error) = lives::enter(dir, &former, me.incarnation) {
            tracing::error!(%error, "the spool's folder does not take a note of this life of the gateway");
        }
        Ok(Self {
            me,
            former,
            peers,
            ledger: Mutex::default(),
            copied: watch::Sender::default(),
            has_nobody: watch::Sender::default(),
            waiting: AtomicUsize::new(0),
            look: Notify::new(),
        })
    }

    /// Whether there is nobody to copy to, so that nothing can be acknowledged from the spool.
    pub(crate) fn has_nobody(&self) -> bool {
        let peers = self.peers.borrow();
        peers.as_ref().is_some_and(|peers| peers.is_empty() || *self.has_nobody.borrow())
    }

    /// Waits until what lies in the spool before `end` is on another disk too, or stored: for a bounded time, and
    /// while there is a peer. Whether it is.
    pub(crate) async fn safe(&self, spool: &Spool, end: Place) -> bool {
        if self.peers.borrow().is_none() {
            return true;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.look.notify_one();
        let (mut copied, mut drained) = (self.copied.subscribe(), spool.drained());
        let mut has_nobody = self.has_nobody.subscribe();
        let safe = async {
            tokio::select! {
                biased;
                _ = copied.wait_for(|copied| *copied >= end) => true,
                _ = drained.wait_for(|drained| *drained >= end && !spool.is_doubtful()) => true,
                _ = has_nobody.wait_for(|nobody| *nobody) => false,
            }
        };
        let is_safe = tokio::time::timeout(SAFE_WITHIN, safe).await.unwrap_or(false);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        is_safe
    }

    /// Who has the copy now.
    pub(crate) fn peer(&self) -> Option<String> {
        self.ledger.lock().peer().map(ToString::to_string)
    }
}

/// Waits until the peers changed; for ever where nobody can change them any more.
async fn changed(peers: &mut CopyPeers) {
    if peers.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_no_note_keeps_no_gateway_from_starting() {
        let dir = tempfile::tempdir().expect("a folder");
        let me = |life| CopyOf { origin: "gw-a".parse().expect("a name"), incarnation: Incarnation(life) };
        let peers = || watch::channel(None).1;
        assert_eq!(Copying::enter(dir.path(), me(1), peers()).expect("entered").former, []);
        // In place of what is written first.
        std::fs::create_dir(dir.path().join("lives.new")).expect("made");
        assert_eq!(Copying::enter(dir.path(), me(2), peers()).expect("starts").former, [Incarnation(1)]);
        std::fs::remove_dir(dir.path().join("lives.new")).expect("gone");
        assert_eq!(Copying::enter(dir.path(), me(3), peers()).expect("entered").former, [Incarnation(1)]);
    }
}
