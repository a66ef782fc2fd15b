//! The fence that every node has against old leaders: the highest epoch it has seen.
//!
//! Knows not what is ordered. Lives as long as its process; the database has one of its own for what a leader writes.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::Epoch;

/// The highest epoch seen, in an order or in the View.
#[derive(Debug, Default)]
pub struct Fence {
    seen: AtomicI64,
}

/// An order of a leader that has been followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("old epoch: ordered under {given}, {seen} has been seen")]
pub struct OldEpoch {
    /// The order's epoch.
    pub given: Epoch,
    /// The highest one seen.
    pub seen: Epoch,
}

impl Fence {
    /// Lets an order in unless a higher epoch has been seen, and remembers its epoch. Orders let in by concurrent calls
    /// have an order in time in which their epochs never fall; what is done after being let in keeps to it by itself.
    pub fn admit(&self, given: Epoch) -> Result<(), OldEpoch> {
        let seen = Epoch(self.seen.fetch_max(given.0, Ordering::AcqRel));
        if given < seen { Err(OldEpoch { given, seen }) } else { Ok(()) }
    }

    /// Remembers an epoch that was seen elsewhere.
    pub fn heed(&self, epoch: Epoch) {
        self.seen.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// The highest epoch seen; 0 where none was.
    pub fn seen(&self) -> Epoch {
        Epoch(self.seen.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn an_old_leader_is_refused() {
        let fence = Fence::default();
        assert_eq!(fence.admit(Epoch(3)), Ok(()));
        assert_eq!(fence.admit(Epoch(3)), Ok(()));
        fence.heed(Epoch(5));
        fence.heed(Epoch(4));
        let refused = fence.admit(Epoch(4)).expect_err("old");
        assert_eq!(refused, OldEpoch { given: Epoch(4), seen: Epoch(5) });
        assert_eq!(refused.to_string(), "old epoch: ordered under 4, 5 has been seen");
        assert_eq!((fence.admit(Epoch(5)), fence.seen()), (Ok(()), Epoch(5)));
    }

    #[test]
    fn what_is_refused_is_older_than_what_was_seen_whoever_calls() {
        let fence = Fence::default();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for first in 1..=4 {
                let (fence, start) = (&fence, &start);
                scope.spawn(move || {
                    start.wait();
                    for given in (first..=4_000).step_by(4).map(Epoch) {
                        match fence.admit(given) {
                            Ok(()) => assert!(fence.seen() >= given),
                            Err(old) => assert!(old.given == given && old.seen > given, "{old}"),
                        }
                    }
                });
            }
        });
        assert_eq!(fence.seen(), Epoch(4_000));
    }
}
