//! The newest units of a stream, shared by its viewers, and the cursors with which they read.
//!
//! The source pushes and never waits. A cursor that falls out of the ring jumps to the newest key frame.
//! Knows no state of the stream beyond open and closed, no container and no viewer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use protocol::aac::AudioSpecificConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::unit::Unit;

/// How much a ring keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most bytes.
    pub(crate) bytes_max: usize,
    /// Most units.
    pub(crate) units_max: usize,
    /// Longest media beside the newest group of pictures, 90 kHz.
    pub(crate) span_90k_max: u64,
}

/// Most units handed to a viewer at once, so that one read stays short.
const BATCH_UNITS: usize = 64;

/// A batch that holds this many bytes takes no further unit: what a viewer was handed stays in memory until it
/// has taken it, whatever the ring keeps.
const BATCH_BYTES: usize = 256 * 1024;

/// The last signs of life of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// When the last byte came.
    pub(crate) heard_at: Instant,
    /// When the last picture came.
    pub(crate) picture_at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    bounds: Bounds,
    state: Mutex<State>,
    /// The number of the next unit; [`CLOSED`] once there is none.
    head: watch::Sender<u64>,
}

const CLOSED: u64 = u64::MAX;

#[derive(Debug)]
struct State {
    units: VecDeque<Arc<Unit>>,
    /// The number of the front unit.
    first: u64,
    bytes: usize,
    /// Numbers of the key frames in `units`.
    keys: VecDeque<u64>,
    /// The newest epoch and generation.
    age: (u64, u64),
    audio: Option<AudioSpecificConfig>,
    newest_dts_90k: u64,
    /// Where the sound that lasts longest ends.
    sound_end_90k: u64,
    signs: Signs,
    closed: bool,
}

impl State {
    fn next(&self) -> u64 {
        self.first + self.units.len() as u64
    }

    fn evict(&mut self, bounds: &Bounds) {
        loop {
            let Some(front) = self.units.front() else { return };
            let hard = self.bytes > bounds.bytes_max || self.units.len() > bounds.units_max;
            let old = self.newest_dts_90k.saturating_sub(front.dts_90k) > bounds.span_90k_max
                && self.keys.back().is_some_and(|newest_key| self.first < *newest_key);
            // The unit just pushed stays whatever its size: its size is bounded where it is made.
            if self.units.len() == 1 || !(hard || old) {
                return;
            }
            if let Some(unit) = self.units.pop_front() {
                self.bytes -= unit.data.len();
            }
            if self.keys.front() == Some(&self.first) {
                self.keys.pop_front();
            }
            self.first += 1;
        }
    }
}

impl Ring {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let now = Instant::now();
        let state = State {
            units: VecDeque::new(),
            first: 0,
            bytes: 0,
            keys: VecDeque::new(),
            age: (0, 0),
            audio: None,
            newest_dts_90k: 0,
            sound_end_90k: 0,
            signs: Signs { heard_at: now, picture_at: now },
            closed: false,
        };
        Self { bounds, state: Mutex::new(state), head: watch::Sender::new(0) }
    }

    /// Takes a unit in; false when the ring is closed or has seen a higher epoch or generation (an old source's
    /// sound may come out of its encoder after the new one began).
    pub(crate) fn push(&self, unit: Unit) -> bool {
        let mut state = self.state.lock();
        let age = (unit.epoch, unit.generation);
        if state.closed || age < state.age {
            return false;
        }
        state.age = age;
        state.newest_dts_90k = state.newest_dts_90k.max(unit.dts_90k);
        state.sound_end_90k = state.sound_end_90k.max(unit.dts_90k + u64::from(unit.duration_90k));
        let now = Instant::now();
        state.signs.heard_at = now;
        if unit.is_video() {
            state.signs.picture_at = now;
        }
        state.bytes += unit.data.len();
        let number = state.next();
        if unit.key {
            state.keys.push_back(number);
        }
        state.units.push_back(Arc::new(unit));
        state.evict(&self.bounds);
        self.head.send_replace(state.next());
        true
    }

    /// Says, as soon as it is known and before its first unit, that there is sound.
    pub(crate) fn announce_audio(&self, config: AudioSpecificConfig) {
        let mut state = self.state.lock();
        if state.audio != Some(config) {
            state.audio = Some(config);
            self.head.send_modify(|_| {});
        }
    }

    /// A new source comes, of whose sound nothing is known yet; what was known of the last one's.
    pub(crate) fn forget_audio(&self) -> Option<AudioSpecificConfig> {
        self.state.lock().audio.take()
    }

    /// The sound of the stream, as far as known.
    pub(crate) fn audio(&self) -> Option<AudioSpecificConfig> {
        self.state.lock().audio
    }

    /// Bytes are coming although no unit came of them yet.
    pub(crate) fn touch(&self) {
        self.state.lock().signs.heard_at = Instant::now();
    }

    /// A picture came that nobody can be shown: the source sends pictures all the same.
    pub(crate) fn touch_picture(&self) {
        self.state.lock().signs.picture_at = Instant::now();
    }

    /// When the last signs of life of a source came.
    pub(crate) fn signs(&self) -> Signs {
        self.state.lock().signs
    }

    /// Where a source's time begins that comes now: 0 at first, afterwards behind everything before by the
    /// time that has passed, 90 kHz.
    pub(crate) fn resume_90k(&self) -> u64 {
        let state = self.state.lock();
        if state.next() == 0 {
            return 0;
        }
        let away = Instant::now().saturating_duration_since(state.signs.heard_at).max(RESUME_GAP_MIN);
        let resumed_90k = state.newest_dts_90k + u64::try_from(away.as_millis()).unwrap_or(0) * 90;
        resumed_90k.max(state.sound_end_90k)
    }

    /// The newest key frame.
    pub(crate) fn key_frame(&self) -> Option<Arc<Unit>> {
        let state = self.state.lock();
        let number = state.keys.back()?;
        state.units.get(usize::try_from(number - state.first).ok()?).cloned()
    }

    /// No unit will come any more; cursors read what is left and end.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.head.send_replace(CLOSED);
    }

    /// A cursor at the newest key frame, or at the next where there is none.
    pub(crate) fn cursor(self: &Arc<Self>) -> Cursor {
        let state = self.state.lock();
        let place = state.keys.back().map_or(Place::FirstKeyFrom(state.next()), |key| Place::At(*key));
        Cursor { head: self.head.subscribe(), ring: Arc::clone(self), place }
    }
}

/// The least by which a new source's time lies behind the old one's: a frame's length, so that times rise.
const RESUME_GAP_MIN: Duration = Duration::from_millis(40);

/// One reader's place in a ring.
#[derive(Debug)]
pub(crate) struct Cursor {
    ring: Arc<Ring>,
    head: watch::Receiver<u64>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The number of the unit to read next.
    At(u64),
    /// Not begun: the first key frame of this number or a higher one.
    FirstKeyFrom(u64),
}

impl Place {
    /// The unit to read next and how many are skipped before it; None: there is none yet to go on with.
    fn resolve(self, state: &State) -> Option<(u64, u64)> {
        match self {
            Self::At(next) if next >= state.first => Some((next, 0)),
            // Out of the ring: on with the newest key frame, and where there is none, with the next one.
            Self::At(next) => state.keys.back().map(|key| (*key, key - next)),
            Self::FirstKeyFrom(from) => state.keys.iter().find(|key| **key >= from).map(|key| (*key, 0)),
        }
    }
}

/// What a cursor read.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Units in the order of their arrival.
    pub(crate) units: Vec<Arc<Unit>>,
    /// Units skipped before them, because the reader was too slow.
    pub(crate) skipped: u64,
}

impl Cursor {
    /// What can be read now; None: nothing. Never waits.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        let state = self.ring.state.lock();
        let (next, skipped) = self.place.resolve(&state)?;
        let from = usize::try_from(next - state.first).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let units: Vec<_> = state
            .units
            .iter()
            .skip(from)
            .take(BATCH_UNITS)
            .take_while(|unit| {
                let fits = bytes < BATCH_BYTES;
                bytes += unit.data.len();
                fits
            })
            .cloned()
            .collect();
        self.place = Place::At(next + units.len() as u64);
        (!units.is_empty() || skipped > 0).then_some(Batch { units, skipped })
    }

    /// What comes next; None: the ring is closed and read to its end.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        loop {
            let head = *self.head.borrow_and_update();
            if let Some(batch) = self.take() {
                return Some(batch);
            }
            if head == CLOSED {
                return None;
            }
            self.head.changed().await.ok()?;
        }
    }

    /// Waits until something can be read, without reading it; false: nothing will come.
    async fn readable(&mut self) -> bool {
        loop {
            let head = *self.head.borrow_and_update();
            if self.is_readable() {
                return true;
            }
            if head == CLOSED || self.head.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Waits for the first key frame and then until it is clear whether there is sound: its first packet came,
    /// or `wait` of media passed without (or as long by the clock). False: the ring closed before a key frame.
    pub(crate) async fn begin(&mut self, wait: Duration) -> bool {
        if !self.readable().await {
            return false;
        }
        let until = Instant::now() + wait * 2;
        loop {
            let head = *self.head.borrow_and_update();
            if head == CLOSED || self.decided(wait) {
                return true;
            }
            tokio::select! {
                changed = self.head.changed() => if changed.is_err() { return true },
                () = tokio::time::sleep_until(until) => return true,
            }
        }
    }

    fn is_readable(&self) -> bool {
        let state = self.ring.state.lock();
        self.place.resolve(&state).is_some_and(|(next, _)| next < state.next())
    }

    fn decided(&self, wait: Duration) -> bool {
        let state = self.ring.state.lock();
        let Some((start, _)) = self.place.resolve(&state) else { return false };
        let oldest = usize::try_from(start - state.first).ok().and_then(|at| state.units.get(at));
        let passed = oldest.map_or(0, |unit| state.newest_dts_90k.saturating_sub(unit.dts_90k));
        state.audio.is_some() || u128::from(passed) >= wait.as_millis() * 90
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::aac::AudioSpecificConfig;

    use super::*;
    use crate::unit::Config;

    fn config() -> Config {
        Config::Audio(AudioSpecificConfig { object_type: 2, sample_rate_hz: 8000, channels: 1 })
    }

    fn unit(number: u64, key: bool, bytes: usize) -> Unit {
        Unit {
            epoch: 1,
            generation: 1,
            dts_90k: number * 3_600,
            duration_90k: 0,
            key,
            config: config(),
            data: Bytes::from(vec![0; bytes]),
            flv: Default::default(),
        }
    }

    fn ring(bytes_max: usize, units_max: usize, span_90k_max: u64) -> Arc<Ring> {
        Arc::new(Ring::new(Bounds { bytes_max, units_max, span_90k_max }))
    }

    fn times(batch: &Batch) -> Vec<u64> {
        batch.units.iter().map(|unit| unit.dts_90k / 3_600).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_begins_at_the_newest_key_frame() {
        let ring = ring(1 << 20, 100, u64::MAX);
        for number in 0..7 {
            ring.push(unit(number, number % 3 == 0, 10));
        }
        let mut cursor = ring.cursor();
        assert_eq!(times(&cursor.take().expect("units")), [6]);
        assert!(cursor.take().is_none());
        ring.push(unit(7, false, 10));
        ring.close();
        assert_eq!(times(&cursor.next().await.expect("units")), [7]);
        assert!(cursor.next().await.is_none());
        assert!(!ring.push(unit(8, true, 10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_parked_cursor_gets_everything_from_the_first_key_frame() {
        let ring = ring(1 << 20, 100, u64::MAX);
        let mut cursor = ring.cursor();
        ring.push(unit(0, false, 10));
        assert!(cursor.take().is_none());
        ring.push(unit(1, true, 10));
        ring.push(unit(2, true, 10));
        ring.push(unit(3, false, 10));
        assert_eq!(times(&cursor.take().expect("units")), [1, 2, 3]);
    }

    #[test]
    fn a_slow_cursor_jumps_to_the_newest_key_frame_and_counts() {
        let ring = ring(1 << 20, 10, u64::MAX);
        ring.push(unit(0, true, 10));
        let mut cursor = ring.cursor();
        assert_eq!(times(&cursor.take().expect("units")), [0]);
        for number in 1..30 {
            ring.push(unit(number, number % 4 == 0, 10));
        }
        let batch = cursor.take().expect("units");
        assert_eq!((batch.skipped, times(&batch)), (27, vec![28, 29]));
    }

    #[test]
    fn the_newest_group_of_pictures_outlives_the_time_bound_but_not_the_byte_bound() {
        let ring = ring(1_000, 100, 3_600 * 5);
        ring.push(unit(0, true, 10));
        for number in 1..20 {
            ring.push(unit(number, false, 10));
        }
        assert_eq!(ring.cursor().take().expect("units").units.len(), 20);
        ring.push(unit(20, true, 10));
        ring.push(unit(26, false, 10));
        assert_eq!(times(&ring.cursor().take().expect("units")), [20, 26]);
        ring.push(unit(27, false, 995));
        assert!(ring.cursor().take().is_none());
        assert!(ring.key_frame().is_none());
    }

    #[test]
    fn a_batch_is_bounded_by_units_and_by_bytes() {
        let ring = ring(16 << 20, 1_000, u64::MAX);
        ring.push(unit(0, true, 10));
        for number in 1..100 {
            ring.push(unit(number, false, 10));
        }
        let mut cursor = ring.cursor();
        assert_eq!(cursor.take().expect("units").units.len(), BATCH_UNITS);
        ring.push(unit(100, true, BATCH_BYTES / 2));
        for number in 101..110 {
            ring.push(unit(number, false, BATCH_BYTES / 2));
        }
        let mut cursor = ring.cursor();
        assert_eq!(times(&cursor.take().expect("units")), [100, 101]);
        ring.push(unit(110, true, 3 * BATCH_BYTES));
        assert_eq!(times(&ring.cursor().take().expect("units")), [110]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_source_begins_behind_the_end_of_the_last_one_s_sound() {
        let ring = ring(1_000, 100, u64::MAX);
        assert_eq!(ring.resume_90k(), 0);
        ring.push(Unit { duration_90k: 11_520, ..unit(10, false, 1) });
        assert_eq!(ring.resume_90k(), 36_000 + 11_520);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ring.resume_90k(), 36_000 + 90_000);
    }

    #[test]
    fn a_lower_epoch_is_refused() {
        let ring = ring(1_000, 100, u64::MAX);
        assert!(ring.push(Unit { epoch: 2, ..unit(0, true, 1) }));
        assert!(!ring.push(unit(1, true, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn sound_is_waited_for_by_media_and_by_the_clock() {
        let wait = Duration::from_millis(500);
        let ring = ring(1 << 20, 100, u64::MAX);
        let mut cursor = ring.cursor();
        ring.push(unit(0, true, 1));
        let begun = Instant::now();
        assert!(cursor.begin(wait).await);
        assert_eq!(begun.elapsed(), wait * 2);
        ring.push(unit(13, false, 1));
        let begun = Instant::now();
        assert!(ring.cursor().begin(wait).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
