//! HLS: a stream's playlist in one form, made while somebody asks for it.
//!
//! A task of its own reads the ring and closes segments; requests read what it has made. Sequence numbers
//! never go back, over restarts either: they begin at the seconds since 2025, and segments are longer than
//! one. Knows no sessions and no HTTP.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use model::StreamKey;
use parking_lot::Mutex;
use protocol::media::Tracks;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Settings;
use crate::ring::Cursor;
use crate::segmenter::{Form, Segment, Segmenter};
use crate::stats::Counters;
use crate::stream::{Phase, Stream};

/// 2025-01-01T00:00:00Z, s.
const SEQUENCE_EPOCH_S: u64 = 1_735_689_600;

/// Segments that stay whatever the bounds say.
const SEGMENTS_MIN: usize = 3;

/// Most segments listed, however short: a terminal that changes its codec all the time ends one with each change.
const SEGMENTS_MAX: usize = 256;

/// One stream in one form. Its task ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Playlist {
    /// Which stream.
    pub(crate) stream: StreamKey,
    /// Which form.
    pub(crate) form: Form,
    /// The run of the stream: a stream that starts anew has playlists of its own.
    run: Weak<Stream>,
    state: Mutex<State>,
    /// The number of segments made; rises once more at the end.
    made: watch::Sender<u64>,
    _task: DropGuard,
}

/// A playlist as it stood.
pub(crate) struct Text {
    /// What a player reads.
    pub(crate) text: String,
    /// The newest segment that it names.
    pub(crate) newest: u64,
    /// Whether it says that there will be no more.
    pub(crate) ended: bool,
}

#[derive(Debug)]
struct State {
    segments: VecDeque<Listed>,
    inits: VecDeque<(u64, Bytes)>,
    /// The next segment's number.
    next: u64,
    /// The discontinuity sequence of the first listed segment.
    discontinuities: u64,
    /// As announced; 0 before the first segment, and never changed after it (RFC 8216, 6.2.1).
    target_s: u64,
    span_90k: u64,
    bytes: usize,
    ended: bool,
}

#[derive(Debug)]
struct Listed {
    number: u64,
    init: u64,
    segment: Segment,
}

impl Playlist {
    /// Begins to make segments of `stream` from its newest key frame on, or from its first.
    pub(crate) fn start(
        stream: &Arc<Stream>,
        form: Form,
        settings: Arc<Settings>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let first = now.saturating_sub(SEQUENCE_EPOCH_S).max(1);
        let stop = CancellationToken::new();
        let playlist = Arc::new(Self {
            stream: stream.key,
            form,
            run: Arc::downgrade(stream),
            state: Mutex::new(State {
                segments: VecDeque::new(),
                inits: VecDeque::new(),
                next: first,
                discontinuities: first,
                target_s: 0,
                span_90k: 0,
                bytes: 0,
                ended: false,
            }),
            made: watch::Sender::new(0),
            _task: stop.clone().drop_guard(),
        });
        let task = Maker {
            playlist: Arc::downgrade(&playlist),
            form,
            cursor: stream.ring.cursor(),
            stream: Arc::clone(stream),
            settings,
            counters,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = task.run() => {}
                () = stop.cancelled() => {}
            }
        });
        playlist
    }

    /// Waits for a segment newer than `than`, or the end.
    pub(crate) async fn newer(&self, than: u64) {
        let mut made = self.made.subscribe();
        loop {
            {
                made.borrow_and_update();
                let state = self.state.lock();
                if state.ended || state.segments.back().is_some_and(|newest| newest.number > than) {
                    return;
                }
            }
            if made.changed().await.is_err() {
                return;
            }
        }
    }

    /// The playlist as it stands; None while there is no segment. `suffix` follows every URL's file name.
    pub(crate) fn text(&self, suffix: &str) -> Option<Text> {
        let state = self.state.lock();
        let newest = state.segments.back()?.number;
        let first = state.segments.front()?;
        let mut text = String::with_capacity(256 + state.segments.len() * (40 + suffix.len()));
        let (version, extension) = match self.form {
            Form::Fmp4 => (7, "m4s"),
            Form::MpegTs => (3, "ts"),
        };
        let _ = write!(
            text,
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            state.target_s, first.number, state.discontinuities
        );
        let mut init = None;
        for (place, listed) in state.segments.iter().enumerate() {
            // The first one's mark is told by the discontinuity sequence, which counts it.
            if listed.segment.discontinuity && place > 0 {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if self.form == Form::Fmp4 && init != Some(listed.init) {
                init = Some(listed.init);
                let _ = writeln!(text, "#EXT-X-MAP:URI=\"init-{}.mp4{suffix}\"", listed.init);
            }
            let seconds = listed.segment.duration_90k as f64 / 90_000.0;
            let _ = write!(text, "#EXTINF:{seconds:.3},\n{}.{extension}{suffix}\n", listed.number);
        }
        if state.ended {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        Some(Text { text, newest, ended: state.ended })
    }

    /// Whether it is of this run of the stream.
    pub(crate) fn is_of(&self, stream: &Arc<Stream>) -> bool {
        Weak::as_ptr(&self.run) == Arc::as_ptr(stream)
    }

    /// Whether it ended before its first segment: it has nothing to tell, and never will.
    pub(crate) fn is_void(&self) -> bool {
        let state = self.state.lock();
        state.ended && state.segments.is_empty()
    }

    /// The upper bound of a segment's duration, as announced; 0 before the first segment.
    pub(crate) fn target(&self) -> Duration {
        Duration::from_secs(self.state.lock().target_s)
    }

    /// A segment's bytes.
    pub(crate) fn segment(&self, number: u64) -> Option<Bytes> {
        let state = self.state.lock();
        let first = state.segments.front()?.number;
        let place = usize::try_from(number.checked_sub(first)?).ok()?;
        state.segments.get(place).map(|listed| listed.segment.data.clone())
    }

    /// An init segment's bytes.
    pub(crate) fn init(&self, number: u64) -> Option<Bytes> {
        self.state.lock().inits.iter().find(|(init, _)| *init == number).map(|(_, data)| data.clone())
    }

    fn add(&self, segments: Vec<Segment>, target_s: Option<u64>, settings: &Settings) {
        let Some(target_s) = target_s.filter(|_| !segments.is_empty()) else { return };
        let mut state = self.state.lock();
        state.target_s = target_s;
        for segment in segments {
            state.add(segment, settings);
        }
        drop(state);
        self.made.send_modify(|made| *made += 1);
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.made.send_modify(|made| *made += 1);
    }
}

impl State {
    fn add(&mut self, segment: Segment, settings: &Settings) {
        let number = self.next;
        self.next += 1;
        if let Some(init) = &segment.init {
            self.inits.push_back((number, init.clone()));
        }
        let init = self.inits.back().map_or(0, |(init, _)| *init);
        self.span_90k += segment.duration_90k;
        self.bytes += segment.data.len();
        self.segments.push_back(Listed { number, init, segment });
        while self.segments.len() > SEGMENTS_MIN
            && (self.span_90k > settings.hls_window_ms * 90
                || self.bytes > settings.hls_bytes_max
                || self.segments.len() > SEGMENTS_MAX)
        {
            let Some(gone) = self.segments.pop_front() else { return };
            self.span_90k -= gone.segment.duration_90k;
            self.bytes -= gone.segment.data.len();
            if let Some(front) = self.segments.front() {
                self.discontinuities += u64::from(front.segment.discontinuity);
                while self.inits.front().is_some_and(|(init, _)| *init < front.init) {
                    self.inits.pop_front();
                }
            }
        }
    }
}

/// The task that makes segments.
struct Maker {
    playlist: Weak<Playlist>,
    form: Form,
    stream: Arc<Stream>,
    cursor: Cursor,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
}

impl Maker {
    async fn run(mut self) {
        let wait = Duration::from_millis(self.settings.audio_wait_ms);
        self.cursor.begin(wait).await;
        let tracks = Tracks { video: None, audio: self.stream.ring.audio() };
        let mut segmenter = Segmenter::new(self.form, self.settings.hls_segment_ms * 90, tracks);
        let mut phase = self.stream.phase();
        loop {
            let mut made = Vec::new();
            let batch = tokio::select! {
                biased;
                batch = self.cursor.next() => batch,
                changed = phase.changed() => {
                    // The source is lost, and all it sent was read: what is open ends here, however it goes on.
                    if changed.is_ok() && *phase.borrow_and_update() == Phase::Recovering {
                        segmenter.finish(&mut made);
                        self.add(made, segmenter.target_s());
                    }
                    continue;
                }
            };
            let ended = batch.is_none();
            match batch {
                Some(batch) => {
                    if batch.skipped > 0 {
                        self.counters.units_dropped_for_viewers.add(batch.skipped);
                        segmenter.skip(&mut made);
                    }
                    for unit in batch.units {
                        segmenter.unit(unit, &mut made);
                    }
                }
                None => segmenter.finish(&mut made),
            }
            self.add(made, segmenter.target_s());
            if ended {
                if let Some(playlist) = self.playlist.upgrade() {
                    playlist.end();
                }
                return;
            }
        }
    }

    fn add(&self, segments: Vec<Segment>, target_s: Option<u64>) {
        if let Some(playlist) = self.playlist.upgrade() {
            playlist.add(segments, target_s, &self.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Bounds;
    use crate::stream::EndReason;

    #[tokio::test]
    async fn a_playlist_that_ends_before_its_first_segment_is_void() {
        let bounds = Bounds { bytes_max: 1 << 20, units_max: 100, span_90k_max: 900_000 };
        let stream = Arc::new(Stream::new("live-42-2-main".parse().expect("a key"), bounds));
        let playlist = Playlist::start(&stream, Form::MpegTs, Arc::default(), Arc::default());
        assert!(!playlist.is_void());
        stream.set_phase(Phase::Ended(EndReason::Lost));
        playlist.newer(0).await;
        assert!(playlist.is_void() && playlist.text("").is_none());
    }
}
