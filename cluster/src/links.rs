//! Which terminals a gateway holds, as it tells others, and who knows which gateway holds a terminal.
//!
//! Knows neither links themselves nor how what is told comes to other nodes.

use std::pin::Pin;

use futures_util::Stream;
use model::TerminalId;
use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::trace::Traceparent;

/// What orders the links of one terminal: the higher session epoch is the newer one; where one is missing, the later
/// begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStamp {
    /// Its session's epoch; None while the database is away.
    pub epoch: Option<i64>,
    /// When it was authenticated, by the gateway's clock, Unix milliseconds.
    pub since_ms: i64,
}

impl LinkStamp {
    /// Whether it is of a newer link than `other` of the same terminal: the database's word counts where it gave one for
    /// both, the gateways' clocks where it did not.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        match (self.epoch, other.epoch) {
            (Some(epoch), Some(others)) if epoch != others => epoch > others,
            _ => self.since_ms > other.since_ms,
        }
    }
}

/// A terminal came to a gateway or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// Which.
    pub terminal: TerminalId,
    /// Of which of its links this is told. A link whose epoch becomes known is told as up once more.
    pub stamp: LinkStamp,
    /// Whether it came.
    pub is_up: bool,
    /// The step that stored its session, where that is traced and this tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Traceparent>,
}

/// Changes as they come. Ends where the reader is too slow: it reads everything anew.
pub type LinkChanges = Pin<Box<dyn Stream<Item = LinkChange> + Send>>;

/// What a gateway tells of the terminals that it holds.
pub trait Links: Send + Sync {
    /// Every authenticated link now, and every change from then on.
    fn follow(&self) -> (Vec<(TerminalId, LinkStamp)>, LinkChanges);
}

/// Who listens to what every gateway tells of its links.
pub trait LinkListener: Send + Sync {
    /// All links of `node`, instead of everything that it told before.
    fn told_all(&self, node: &NodeId, links: Vec<(TerminalId, LinkStamp)>);

    /// One link of `node` changed.
    fn told(&self, node: &NodeId, change: LinkChange);

    /// `node` left the cluster. One that cannot be heard for a while is not told: what it said last may still hold.
    fn gone(&self, node: &NodeId);
}

/// Who knows which gateway holds a terminal.
pub trait Holders: Send + Sync {
    /// The gateway that holds `terminal`, as far as is known.
    fn holder_of(&self, terminal: TerminalId) -> Option<NodeId>;

    /// `node` said that it does not hold `terminal`.
    fn forget(&self, terminal: TerminalId, node: &NodeId);
}
