//! The way to the hub: what viewers and connections ask of it, and what they hold of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{AvAttributes, Reply, SendError, Sim, StreamKey, TerminalLink};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::stream::{EndReason, Stream};

/// What a connection must bring to be a stream's source: on which port of the pool, whose, which channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expectation {
    /// Index into the pool.
    pub(crate) port: usize,
    /// The terminal's number.
    pub(crate) sim: Sim,
    /// The logical channel.
    pub(crate) channel: u8,
}

/// How the hub tells a connection that it is no longer a stream's source.
#[derive(Debug, Default)]
pub(crate) struct Revocation {
    revoked: AtomicBool,
    wake: Arc<Notify>,
}

impl Revocation {
    /// `wake` is the connection's, shared by all of its sources.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { revoked: AtomicBool::new(false), wake }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// A connection's right to be a stream's source.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// Where its units go.
    pub(crate) stream: Arc<Stream>,
    /// Names this source towards the hub.
    pub(crate) source: u64,
    /// The stream's time at the source's time 0, 90 kHz.
    pub(crate) base_90k: u64,
    /// What the terminal says of its sound and pictures.
    pub(crate) av: Option<AvAttributes>,
}

/// Why a connection may not be a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimRefused {
    /// Nothing was asked for.
    NoRequest,
    /// Another connection is, and it is alive.
    Running,
}

/// A viewer's hold on a stream: the stream runs on while there is one.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The stream.
    pub(crate) stream: Arc<Stream>,
    pub(super) instance: u64,
    pub(super) hub: HubHandle,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.hub.send(Message::Detach { key: self.stream.key, instance: self.instance });
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Attach {
        key: StreamKey,
        reply: oneshot::Sender<Attachment>,
    },
    Detach {
        key: StreamKey,
        instance: u64,
    },
    Linked {
        key: StreamKey,
        instance: u64,
        result: Result<TerminalLink, SendError>,
    },
    Asked {
        key: StreamKey,
        instance: u64,
        result: Result<Reply, SendError>,
    },
    Stopped {
        key: StreamKey,
        instance: u64,
    },
    Claim {
        expectation: Expectation,
        revocation: Arc<Revocation>,
        reply: oneshot::Sender<Result<Claimed, ClaimRefused>>,
    },
    Arrived {
        key: StreamKey,
        source: u64,
    },
    Lost {
        key: StreamKey,
        source: u64,
    },
    Running {
        key: StreamKey,
        reply: oneshot::Sender<Option<Arc<Stream>>>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

/// The way to the hub. Its queue needs no bound of its own: whoever sends is bounded (viewers, connections)
/// and waits for the answer, or sends once when it goes.
#[derive(Clone, Debug)]
pub(crate) struct HubHandle {
    pub(super) sender: mpsc::UnboundedSender<Message>,
}

impl HubHandle {
    pub(super) fn send(&self, message: Message) {
        // An error only says that the server has stopped.
        let _ = self.sender.send(message);
    }

    /// Joins the viewers of `key`, starting the stream where it does not run. Does not wait for pictures.
    pub(crate) async fn attach(&self, key: StreamKey) -> Result<Attachment, EndReason> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Attach { key, reply });
        answer.await.map_err(|_| EndReason::Shutdown)
    }

    /// Asks to be the source of what `expectation` names.
    pub(crate) async fn claim(
        &self,
        expectation: Expectation,
        revocation: Arc<Revocation>,
    ) -> Result<Claimed, ClaimRefused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Claim { expectation, revocation, reply });
        answer.await.unwrap_or(Err(ClaimRefused::NoRequest))
    }

    /// The source's first key frame is in the ring.
    pub(crate) fn arrived(&self, key: StreamKey, source: u64) {
        self.send(Message::Arrived { key, source });
    }

    /// The source is gone, and all its units are in the ring.
    pub(crate) fn lost(&self, key: StreamKey, source: u64) {
        self.send(Message::Lost { key, source });
    }

    /// The stream, if frames have flowed.
    pub(crate) async fn running(&self, key: StreamKey) -> Option<Arc<Stream>> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Running { key, reply });
        answer.await.ok().flatten()
    }

    /// Ends every stream and the hub, and waits until terminals have been told or their time is over.
    pub(crate) async fn shutdown(&self) {
        let (done, finished) = oneshot::channel();
        self.send(Message::Shutdown { done });
        let _ = finished.await;
    }
}
