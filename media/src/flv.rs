//! A viewer's FLV: one cursor, one muxer, bytes as the viewer takes them.
//!
//! The viewer pulls, so that a slow one stays behind at its cursor and holds nobody up. What stands between the
//! pictures is its own, the pictures are the stream's. Carried by HTTP or by WebSocket, which it does not know.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream as Chunks, StreamExt as _, stream};
use protocol::flv::Muxer;
use protocol::media::Tracks;

use crate::hub::Attachment;
use crate::ring::{Batch, Cursor};
use crate::stats::Counters;
use crate::view::View;

/// Longest WebSocket message, bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// One viewer.
pub(crate) struct FlvView {
    attachment: Attachment,
    view: View,
    cursor: Cursor,
    muxer: Muxer,
    tracks: Tracks,
    begun: bool,
    audio_wait: Duration,
    counters: Arc<Counters>,
}

impl FlvView {
    /// A view that begins at the newest key frame, or at the first.
    pub(crate) fn new(
        attachment: Attachment,
        cursor: Cursor,
        view: View,
        audio_wait: Duration,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            attachment,
            view,
            cursor,
            muxer: Muxer::new(),
            tracks: Tracks::default(),
            begun: false,
            audio_wait,
            counters,
        }
    }

    /// The view's bytes, until the stream ends or the view must. Pictures are the shared bytes themselves.
    pub(crate) fn into_chunks(self) -> impl Chunks<Item = Bytes> + Send {
        self.into_batches().flat_map(stream::iter)
    }

    /// The same as messages of at most [`MESSAGE_BYTES_MAX`]: whoever copies them anyway has fewer to send.
    pub(crate) fn into_messages(self) -> impl Chunks<Item = Bytes> + Send {
        self.into_batches().flat_map(|batch| {
            let batch = batch.concat();
            let batch = Bytes::from(batch);
            let starts = (0..batch.len()).step_by(MESSAGE_BYTES_MAX);
            stream::iter(
                starts.map(move |start| batch.slice(start..batch.len().min(start + MESSAGE_BYTES_MAX))),
            )
        })
    }

    fn into_batches(self) -> impl Chunks<Item = Vec<Bytes>> + Send {
        stream::unfold(self, |mut view| async move { view.next().await.map(|batch| (batch, view)) })
    }

    async fn next(&mut self) -> Option<Vec<Bytes>> {
        let stop = self.view.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            batch = self.read() => batch,
        }
    }

    async fn read(&mut self) -> Option<Vec<Bytes>> {
        if !self.begun {
            self.cursor.begin(self.audio_wait).await;
        }
        let batch = self.cursor.next().await?;
        self.counters.units_dropped_for_viewers.add(batch.skipped);
        Some(self.mux(&batch))
    }

    fn mux(&mut self, batch: &Batch) -> Vec<Bytes> {
        let mut out = Pieces::default();
        for unit in &batch.units {
            // Browsers cannot take a track that was not there at the beginning.
            if self.begun && !unit.is_video() && self.tracks.audio.is_none() {
                continue;
            }
            let changed = unit.configure(&mut self.tracks);
            if !self.begun {
                self.begun = true;
                self.tracks.audio = self.tracks.audio.or(self.attachment.stream.ring.audio());
                self.muxer.begin(&self.tracks, &mut out.open);
            } else if changed {
                self.muxer.change(&self.tracks, &mut out.open);
            }
            let sample = unit.sample();
            if let Some(body) = unit.flv_body()
                && let Some(frame) = self.muxer.frame(sample.track, sample.dts_90k, body.len())
            {
                out.open.extend_from_slice(&frame.head);
                out.share(body);
                out.open.extend_from_slice(&frame.tail);
            }
        }
        out.finish()
    }
}

/// A piece smaller than this is cheaper copied than sent by itself, bytes.
const SHARED_BYTES_MIN: usize = 1024;

/// Bytes in order: a viewer's own, and shared ones between them.
#[derive(Default)]
struct Pieces {
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    fn share(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            return self.open.extend_from_slice(&bytes);
        }
        self.done.push(mem::take(&mut self.open).into());
        self.done.push(bytes);
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.done.push(self.open.into());
        }
        self.done
    }
}
