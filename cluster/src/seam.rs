//! The four seams: terminals, events, placement, media.

use std::pin::Pin;

use async_trait::async_trait;
use futures_util::Stream;
use model::{Command, Event, Filter, Reply, SendError, StreamKey, TerminalId, TerminalLink};
use serde::{Deserialize, Serialize};

use crate::Advertise;

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
    /// Where terminals send video (JT/T 1078).
    pub live: Advertise,
}

/// An API server that people and programs can dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebServer {
    /// Its port.
    pub dial: Advertise,
    /// Whether that port speaks TLS.
    pub tls: bool,
}

/// Which server does what.
pub trait Placement: Send + Sync {
    /// The media server that viewers of `stream` should open; None while there is none.
    fn media_for(&self, stream: &StreamKey) -> Option<MediaServer>;
}

/// Why a media server could not do it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq, Serialize, Deserialize)]
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
