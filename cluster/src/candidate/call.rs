//! What a candidate asks of etcd, and what comes of it.

use std::time::{Duration, Instant};

use super::{LeaderKey, LeaseId, Registration};
use crate::Epoch;

/// Something to ask of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A lease.
    Grant,
    /// That a lease lives on.
    KeepAlive(LeaseId),
    /// To put the node's own key under `lease`, if its last change is still `over` (0: if it is absent).
    Join {
        /// What it is to hang on.
        lease: LeaseId,
        /// The revision of what it replaces.
        over: i64,
    },
    /// To put the leader's key under this lease, if it is absent.
    Stand(LeaseId),
    /// To delete the leader's key if this revision made it.
    Resign(Epoch),
    /// To delete the node's own key if its last change is still `over`, and to mark, in the same step, that this life
    /// of the node left.
    Depart {
        /// The revision of what it deletes.
        over: i64,
    },
    /// To end a lease, and all that hangs on it.
    Revoke(LeaseId),
}

/// A request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// When at the earliest it left.
    pub at: Instant,
}

/// What came of a call. Each call ends in exactly one, [`Failed`](Answer::Failed) in time where there is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A lease, and for how long it is valid unless kept alive.
    Granted(LeaseId, Duration),
    /// The lease is valid for as long again as it was granted for.
    KeptAlive,
    /// etcd knows no such lease.
    LeaseLost,
    /// What stands in the node's own key now, as of revision `at`.
    Own {
        /// The revision.
        at: i64,
        /// The key.
        own: Option<Registration>,
    },
    /// What stands in the leader's key now, as of revision `at`.
    Leader {
        /// The revision.
        at: i64,
        /// The key.
        leader: Option<LeaderKey>,
    },
    /// The lease has ended.
    Revoked,
    /// No answer, or an error: nobody knows whether it was done.
    Failed,
}
