//! A viewer's FLV: one cursor, one muxer, bytes as the viewer takes them.
//!
//! The viewer pulls, so that a slow one stays behind at its cursor and holds nobody up. Carried by HTTP or by
//! WebSocket, which it does not know.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream as Chunks, stream};
use protocol::flv::Muxer;
use protocol::media::Tracks;

use crate::hub::Attachment;
use crate::ring::{Batch, Cursor};
use crate::stats::Counters;
use crate::view::View;

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

    /// The view's bytes, until the stream ends or the view must.
    pub(crate) fn into_chunks(self) -> impl Chunks<Item = Bytes> + Send {
        stream::unfold(self, |mut view| async move { view.next().await.map(|chunk| (chunk, view)) })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.view.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            chunk = self.read() => chunk,
        }
    }

    async fn read(&mut self) -> Option<Bytes> {
        if !self.begun {
            self.cursor.begin(self.audio_wait).await;
        }
        let batch = self.cursor.next().await?;
        self.counters.units_dropped_for_viewers.add(batch.skipped);
        Some(self.mux(&batch))
    }

    fn mux(&mut self, batch: &Batch) -> Bytes {
        let bytes: usize = batch.units.iter().map(|unit| unit.data.len() + 64).sum();
        let mut out = Vec::with_capacity(bytes + 512);
        for unit in &batch.units {
            let changed = unit.configure(&mut self.tracks);
            if !self.begun {
                self.begun = true;
                self.tracks.audio = self.tracks.audio.or(self.attachment.stream.ring.audio());
                self.muxer.begin(&self.tracks, &mut out);
            } else if changed {
                self.muxer.change(&self.tracks, &mut out);
            }
            self.muxer.sample(&unit.sample(), &mut out);
        }
        out.into()
    }
}
