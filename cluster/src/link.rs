//! Which gateway holds a terminal's link, as gateways tell it: links as they come and go, and which of two is newer.
//!
//! Knows neither how it is carried nor who asks.

use model::TerminalId;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// When a terminal's link began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStamp {
    /// The epoch that the database gave its session; None while it was not asked yet, or is away.
    pub epoch: Option<i64>,
    /// When the terminal authenticated, by the gateway's clock: milliseconds since 1970-01-01 UTC.
    pub since_ms: i64,
}

impl LinkStamp {
    /// Whether the terminal opened this link after `other`: the database's word counts where it gave one for both,
    /// the gateways' clocks where it did not.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        match (self.epoch, other.epoch) {
            (Some(this), Some(other)) => this > other,
            _ => self.since_ms > other.since_ms,
        }
    }
}

/// A link that came, went, or was given its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// Whose.
    pub terminal: TerminalId,
    /// Since when.
    pub stamp: LinkStamp,
    /// Whether it is there. False only for the link that was there last.
    pub is_up: bool,
}

/// The links of a gateway: those that are there, and what changes from then on. Whoever lags behind asks anew.
#[derive(Debug)]
pub struct LinkFeed {
    /// In no order.
    pub snapshot: Vec<(TerminalId, LinkStamp)>,
    /// Bounded: who is too slow is told so.
    pub changes: broadcast::Receiver<LinkChange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_count_where_both_are_known_and_clocks_where_not() {
        let stamp = |epoch, since_ms| LinkStamp { epoch, since_ms };
        assert!(stamp(Some(3), 10).is_newer_than(&stamp(Some(2), 20)));
        assert!(!stamp(Some(2), 20).is_newer_than(&stamp(Some(3), 10)));
        assert!(stamp(None, 20).is_newer_than(&stamp(Some(3), 10)));
        assert!(!stamp(Some(3), 10).is_newer_than(&stamp(None, 10)), "neither of two of one time");
        assert!(!stamp(None, 10).is_newer_than(&stamp(Some(3), 10)));
    }
}
