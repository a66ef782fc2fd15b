//! The media servers of the cluster as one.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::StreamKey;
use tracing::debug;

use super::Peers;
use crate::{Media, MediaError, Role};

/// Asks this node's media server, if it has one, and then every other one: only that which runs the stream does
/// anything, the others answer at once.
pub struct RemoteMedia {
    own: Option<Arc<dyn Media>>,
    peers: Arc<Peers>,
}

impl RemoteMedia {
    /// `own` is this node's.
    pub fn new(own: Option<Arc<dyn Media>>, peers: Arc<Peers>) -> Self {
        Self { own, peers }
    }
}

#[async_trait]
impl Media for RemoteMedia {
    async fn snapshot(&self, stream: StreamKey) -> Result<Vec<u8>, MediaError> {
        if let Some(own) = &self.own {
            match own.snapshot(stream).await {
                Err(MediaError::NotRunning(_)) => {}
                picture => return picture,
            }
        }
        let others = self.peers.with_any(&[Role::Media]).into_iter();
        let mut answers: FuturesUnordered<_> = others
            .map(|peer| async move {
                let answer = peer.snapshot(stream).await;
                answer.unwrap_or_else(|error| {
                    debug!("no snapshot of {stream}: {error}");
                    Err(MediaError::NotRunning(stream))
                })
            })
            .collect();
        while let Some(answer) = answers.next().await {
            match answer {
                Err(MediaError::NotRunning(_)) => {}
                picture => return picture,
            }
        }
        Err(MediaError::NotRunning(stream))
    }
}
