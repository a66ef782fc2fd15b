//! A media server: its parts put together, started and stopped.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use cluster::{Events, Media, MediaError, Terminals};
use model::StreamKey;

use crate::{Settings, Stats, Viewers};

/// What a media server needs of others.
pub struct Deps {
    /// The way to terminals.
    pub terminals: Arc<dyn Terminals>,
    /// Where streams' comings and goings are told.
    pub events: Arc<dyn Events>,
    /// Who may watch.
    pub viewers: Arc<dyn Viewers>,
    /// Where set, the viewer port speaks TLS only.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Why a media server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address could not be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A setting is out of its range.
    #[error("{0}")]
    Setting(&'static str),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// A running media server.
pub struct MediaServer {}

impl MediaServer {
    /// Binds the listeners and starts.
    pub async fn start(_settings: Settings, _deps: Deps) -> Result<Self, StartError> {
        todo!()
    }

    /// Where viewers reach it.
    pub fn viewer_addr(&self) -> SocketAddr {
        todo!()
    }

    /// Where terminals send live video: the first port of the pool.
    pub fn live_addr(&self) -> SocketAddr {
        todo!()
    }

    /// What it has counted since it started.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// Ends every stream (0x9102 to its terminal), every view and every listener.
    pub async fn shutdown(&self) {
        todo!()
    }
}

#[async_trait]
impl Media for MediaServer {
    async fn snapshot(&self, _stream: StreamKey) -> Result<Vec<u8>, MediaError> {
        todo!()
    }
}
