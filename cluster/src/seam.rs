//! The five seams: terminals, events, placement, media, copies of spools.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use model::{Command, Event, Filter, Reply, SendError, StreamKey, TerminalId, TerminalLink};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{Advertise, Incarnation, NodeId};

/// The way to a terminal. Gateways implement it; media and api call it.
#[async_trait]
pub trait Terminals: Send + Sync {
    /// What the gateway knows of a connected terminal. The first call asks the terminal for its audio and
    /// video attributes (JT/T 1078 0x9003) and remembers them; a terminal that does not answer has none.
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError>;

    /// Sends a command and waits, for a bounded time, for the terminal's answer.
    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError>;

    /// Closes the terminal's link, if there is one (it was deleted, or its authentication code revoked).
    async fn disconnect(&self, terminal: TerminalId);
}

/// Events a subscriber did not get because it was too slow: it should read the state anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged(pub u64);

/// Events as they come.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Lagged>> + Send>>;

/// What happens. Gateway and media publish; api listens.
pub trait Events: Send + Sync {
    /// Tells everybody; never waits, and never fails: with nobody listening it is forgotten.
    fn publish(&self, event: Event);

    /// What will happen from now on.
    fn subscribe(&self, filter: Filter) -> EventStream;
}

/// A media server that viewers can dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaServer {
    /// Its viewer port.
    pub viewer: Advertise,
    /// Whether that port speaks TLS.
    pub tls: bool,
}

/// Which server does what.
pub trait Placement: Send + Sync {
    /// The media server that viewers of `stream` should open; None while there is none.
    fn media_for(&self, stream: &StreamKey) -> Option<MediaServer>;
}

/// Why a media server could not do it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MediaError {
    /// The stream is not running.
    #[error("stream {0} is not running")]
    NotRunning(StreamKey),
    /// Its picture could not be decoded.
    #[error("no picture of {0} could be decoded")]
    NoPicture(StreamKey),
    /// Too many are being made at once.
    #[error("too many snapshots at once")]
    Busy,
}

/// What the API asks of media servers beside viewing.
#[async_trait]
pub trait Media: Send + Sync {
    /// A JPEG of the newest key frame of a running stream.
    async fn snapshot(&self, stream: StreamKey) -> Result<Vec<u8>, MediaError>;
}

/// Whose spooled reports a copy holds: a gateway in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CopyOf {
    /// The gateway.
    pub origin: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

/// Spooled reports on their way to the disk of another gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyBatch {
    /// Whose they are.
    pub of: CopyOf,
    /// From 1, higher than that of every batch which this life sent before, to whomever. Stands for these bytes alone.
    pub number: u64,
    /// The number of the batch that was sent to the same peer before it and was kept; None: it begins a new copy,
    /// which shall stand beside what the peer has from before until that is told to be stored.
    pub follows: Option<u64>,
    /// Records as gateways write them, whole; at most [`COPY_BYTES_MAX`] bytes. Nobody between them reads it.
    pub records: Bytes,
}

/// Most bytes of records in one [`CopyBatch`]: below the usual limit of a message between nodes, in any encoding.
pub const COPY_BYTES_MAX: usize = 2 << 20;

/// Why a gateway did not do what was asked about a copy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CopyError {
    /// Its bound on bytes, or its disk. Nothing of the batch is kept.
    #[error("there is no room for the copy")]
    Full,
    /// Its disk failed: it keeps no copies until its next start.
    #[error("the disk for copies failed")]
    Failed,
    /// It does not have the batch that this one follows: the copy must begin anew.
    #[error("the copy has a gap")]
    Gap,
    /// The batch is no batch.
    #[error("the batch cannot be read")]
    Invalid,
    /// It could not be asked, or did not answer; what it did is not known.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
}

/// What a gateway does for the spools of others: it keeps copies of what they acknowledged while the database was
/// away, until that is stored. Gateways implement it and call it; the leader asks for adoptions.
///
/// Whoever carries it makes sure that [`keep`](Self::keep) and [`stored`](Self::stored) come from the node that they
/// name as origin. Every call may come twice, late, or after its caller gave it up.
#[async_trait]
pub trait Copies: Send + Sync {
    /// Keeps a batch: on Ok it is on the disk. A batch whose number is not above the last one kept was kept before,
    /// which is Ok too.
    ///
    /// # Errors
    /// See [`CopyError`]; but for the last, the batch is not kept.
    async fn keep(&self, batch: CopyBatch) -> Result<(), CopyError>;

    /// Forgets the batches up to `upto`: what they hold is in the database, or was copied anew. Forgetting what is
    /// not there is Ok.
    ///
    /// # Errors
    /// [`CopyError::Unreachable`], [`CopyError::Failed`]: to be told again.
    async fn stored(&self, of: CopyOf, upto: u64) -> Result<(), CopyError>;

    /// Begins to store what it has of `origin`, of every life, into the database (storing is idempotent), goes on
    /// until that is done, and forgets it then. Gives how many bytes are left: asked again, it says how far it is.
    ///
    /// # Errors
    /// [`CopyError::Unreachable`], [`CopyError::Failed`]: to be asked again.
    async fn adopt(&self, origin: NodeId) -> Result<u64, CopyError>;
}

/// A gateway that may keep copies for this one.
#[derive(Clone)]
pub struct Peer {
    /// Its name.
    pub node: NodeId,
    /// The way to it.
    pub copies: Arc<dyn Copies>,
}

/// The gateways that may keep copies for this one, the preferred first, as they come and go. `None`: this node is
/// alone by configuration, and its own disk has to do. `Some` of nobody: it is in a cluster and nobody is there, so
/// that nothing can be copied.
pub type Peers = watch::Receiver<Option<Vec<Peer>>>;
