//! What a stream's hub, source and viewers share: its ring and its phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{AvAttributes, SendError, StreamKey};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::ring::{Bounds, Ring};

/// Why a stream ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndReason {
    /// The terminal cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] SendError),
    /// Every port of the pool carries this terminal's channel already.
    #[error("stream {0} of the same channel is running and no other live port is free")]
    Taken(StreamKey),
    /// The terminal was asked, and no picture came.
    #[error("the terminal was asked but sent no picture in time")]
    NoPicture,
    /// The source was lost and did not come back.
    #[error("the source was lost and did not come back")]
    Lost,
    /// Nobody watches.
    #[error("nobody watches")]
    Unwatched,
    /// The server stops.
    #[error("the server is stopping")]
    Shutdown,
}

/// How a stream stands, as its viewers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The terminal is being asked; viewers are parked.
    Starting,
    /// Frames flow.
    Live,
    /// The source was lost and is being asked again.
    Recovering,
    /// Over.
    Ended(EndReason),
}

/// See the module. Only the hub changes the phase.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Its name.
    pub(crate) key: StreamKey,
    /// Its frames.
    pub(crate) ring: Arc<Ring>,
    phase: watch::Sender<Phase>,
    av: Mutex<Option<AvAttributes>>,
    generation: AtomicU64,
}

impl Stream {
    pub(crate) fn new(key: StreamKey, bounds: Bounds) -> Self {
        Self {
            key,
            ring: Arc::new(Ring::new(bounds)),
            phase: watch::Sender::new(Phase::Starting),
            av: Mutex::new(None),
            generation: AtomicU64::new(0),
        }
    }

    /// The next generation: for a new source, or a source whose codec changes.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How it stands, now and from now on.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// What the terminal says of its sound and pictures.
    pub(crate) fn av(&self) -> Option<AvAttributes> {
        self.av.lock().clone()
    }

    /// Waits while the terminal is being asked.
    pub(crate) async fn started(&self) -> Result<(), EndReason> {
        let mut phase = self.phase();
        let Ok(phase) = phase.wait_for(|phase| *phase != Phase::Starting).await else {
            return Err(EndReason::Shutdown);
        };
        match &*phase {
            Phase::Ended(reason) => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// For the hub alone.
    pub(crate) fn set_phase(&self, phase: Phase) {
        if matches!(phase, Phase::Ended(_)) {
            self.ring.close();
        }
        self.phase.send_replace(phase);
    }

    /// For the hub alone.
    pub(crate) fn set_av(&self, av: Option<AvAttributes>) {
        *self.av.lock() = av;
    }
}
