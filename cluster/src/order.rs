//! What the leader tells a node to do, under its epoch.
//!
//! Knows neither why, nor how it is done.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Epoch;

/// Something that the leader wants done. To do it twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// To a gateway: send terminals back to the login servers, which find them another gateway.
    Release {
        /// How many at most.
        terminals: u32,
    },
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderError {
    /// There is a later leader.
    #[error("old epoch: a leader of epoch {seen} is known")]
    OldEpoch {
        /// The highest epoch that the node has seen.
        seen: Epoch,
    },
    /// The node cannot.
    #[error("order refused: {0}")]
    Refused(String),
}

/// What carries out orders on a node. Its future may be dropped at any point, when the leader is gone: what was done by
/// then stands.
#[async_trait]
pub trait Orders: Send + Sync {
    /// Carries out an order of a leader whose epoch the fence let pass; returns once it is under way.
    ///
    /// # Errors
    /// When it cannot.
    async fn order(&self, epoch: Epoch, order: Order) -> Result<(), OrderError>;
}
