//! Copies of another gateway's spool: what may be acknowledged because a second disk has it.
//!
//! Knows not what the records are, nor how they are kept.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Incarnation, NodeId};

/// Most bytes of a batch's records.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// Records that a gateway has in its own spool and wants kept by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose records: who asks.
    pub origin: NodeId,
    /// Which life of it wrote them.
    pub incarnation: Incarnation,
    /// From 1, higher than that of every batch which this life sent before, to whomever; stands for these records
    /// alone.
    pub number: u64,
    /// The number of the last batch that this peer kept before it; None: it begins a new copy, which shall stand beside
    /// what the peer has from before until that is told to be stored.
    pub follows: Option<u64>,
    /// The records, as the spool writes them, whole; at most [`BATCH_BYTES_MAX`].
    pub records: Bytes,
}

/// Why a gateway did not do what was asked about a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CopyError {
    /// The room for copies is used up.
    #[error("no room for more copies")]
    Full,
    /// The batch that this one follows is not here: everything that is not stored yet is to be kept anew.
    #[error("the copy ends with batch {last}")]
    Gap {
        /// The last batch that is here; 0 where there is none.
        last: u64,
    },
    /// The batch is no batch.
    #[error("the batch cannot be read")]
    Invalid,
    /// The disk failed.
    #[error("the disk for copies failed: {0}")]
    Disk(String),
    /// It could not be asked, or did not answer: what it did is not known.
    #[error("the peer is not reached: {0}")]
    Unreachable(String),
}

/// What keeps copies for other gateways: of what they acknowledged while the database was away, until that is stored.
///
/// Whoever carries it makes sure that [`keep`](Self::keep) and [`stored`](Self::stored) come from the node that they
/// name as origin, and [`adopt`](Self::adopt) from it or from the leader. Every call may come twice, late, or after its
/// caller gave it up.
#[async_trait]
pub trait Copies: Send + Sync {
    /// Keeps a batch; returns once it is on disk (after fsync). A batch whose number is not above the last one kept of
    /// its life was kept before, which is Ok too.
    ///
    /// # Errors
    /// When it is not kept; after [`CopyError::Unreachable`] it may be.
    async fn keep(&self, batch: Batch) -> Result<(), CopyError>;

    /// Every batch of that life of `origin` up to and with `upto` is in the database, or was copied anew, and may be
    /// forgotten here. What is not here is forgotten already.
    ///
    /// # Errors
    /// When it could not be forgotten: to be told again.
    async fn stored(&self, origin: &NodeId, incarnation: Incarnation, upto: u64) -> Result<(), CopyError>;

    /// Begins to store what is here of `origin`, of every life, into the database (storing is idempotent), goes on
    /// until that is done, and forgets it then. Gives how many bytes are left: asked again, it says how far it is.
    ///
    /// # Errors
    /// When it could not begin: to be asked again.
    async fn adopt(&self, origin: &NodeId) -> Result<u64, CopyError>;
}

/// A gateway that may keep copies for this one.
#[derive(Clone)]
pub struct CopyPeer {
    /// Its name.
    pub node: NodeId,
    /// The way to it.
    pub copies: Arc<dyn Copies>,
}

/// The gateways that may keep copies for this one, the preferred first, as they come and go. `None`: this node is
/// alone by configuration, and its own disk has to do. `Some` of nobody: it is in a cluster and nobody is there, so
/// that nothing can be copied.
pub type CopyPeers = watch::Receiver<Option<Vec<CopyPeer>>>;
