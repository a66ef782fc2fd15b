//! Time stamps that can be relied on, made of device stamps that cannot.
//!
//! Devices stamp with anything: Unix time, local time taken as UTC, 2^40 and their uptime, 0, one value for
//! ever. Only differences mean something, and not always.

use std::time::Instant;

/// A stamp this far ahead of the last one is a jump of the clock, unless as much time passed on arrival.
const FORWARD_MS: i64 = 10_000;

/// Arrival may lag this much behind a pause of the device.
const ARRIVAL_SLACK_MS: i64 = 5_000;

/// Sound and pictures interleave, so a stamp may be this much older than the last one of the other track.
const BACKWARD_MS: i64 = 2_000;

/// Sound that shares a stamp comes in bunches; after this long without a new stamp the clock stands still.
const STANDSTILL_MS: i64 = 1_000;

/// Which of a stream's two stamp sequences a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Re-bases the stamps of one stream: only their differences count, and where the device's clock stops or
/// jumps the time of arrival takes its place. Both tracks share one clock, so sound stays with its picture.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    origin: Option<Instant>,
    /// The newest stamp and what it was placed at.
    last: Placed,
    /// Stamp of the last picture.
    last_picture_device_ms: Option<u64>,
    /// What the last picture was given.
    last_picture_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Placed {
    device_ms: u64,
    placed_ms: i64,
    arrival_ms: i64,
}

impl Timeline {
    /// A timeline that begins at 0 with its first stamp.
    pub fn new() -> Self {
        Self::default()
    }

    /// Milliseconds since the first stamp for a frame stamped `device_ms` that arrived at `arrival`.
    /// Pictures always rise by at least 1 ms; sounds may share one value ([`SampleClock`] spreads them) and
    /// may stand a little before the newest picture.
    pub fn place(&mut self, track: Track, device_ms: u64, arrival: Instant) -> u64 {
        let first = self.origin.is_none();
        let origin = *self.origin.get_or_insert(arrival);
        let arrival_ms = milliseconds(arrival.saturating_duration_since(origin).as_millis());
        let placed_ms = if first { 0 } else { self.place_next(track, device_ms, arrival_ms) };
        // the reference moves on only: not for an older stamp, not for one that sounds share; a clock that
        // was set moves it on the spot
        let is_newer = placed_ms > self.last.placed_ms;
        let was_set = placed_ms == self.last.placed_ms && device_ms != self.last.device_ms;
        if first || is_newer || was_set {
            self.last = Placed { device_ms, placed_ms, arrival_ms };
        }
        let mut given_ms = placed_ms.max(0);
        if track == Track::Video {
            given_ms = given_ms.max(self.last_picture_ms.map_or(0, |last| last + 1));
            self.last_picture_device_ms = Some(device_ms);
            self.last_picture_ms = Some(given_ms);
        }
        u64::try_from(given_ms).unwrap_or(0)
    }

    fn place_next(&self, track: Track, device_ms: u64, arrival_ms: i64) -> i64 {
        let waited_ms = (arrival_ms - self.last.arrival_ms).max(0);
        let step_ms = device_ms.wrapping_sub(self.last.device_ms).cast_signed();
        let stands_still = match track {
            Track::Video => self.last_picture_device_ms == Some(device_ms),
            Track::Audio => step_ms == 0 && waited_ms > STANDSTILL_MS,
        };
        let jumps = step_ms < -BACKWARD_MS || step_ms > FORWARD_MS.max(waited_ms + ARRIVAL_SLACK_MS);
        let step_ms = if stands_still || jumps { waited_ms } else { step_ms };
        self.last.placed_ms.saturating_add(step_ms)
    }
}

fn milliseconds(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How far sample count and timeline may part before the count starts again from the timeline.
const DRIFT_90K: u64 = 45_000;

/// Time stamps for sound by counting samples, held to the stream's timeline: devices stamp several packets
/// alike and send them in bunches.
#[derive(Clone, Debug)]
pub struct SampleClock {
    rate_hz: u64,
    /// Time of the sample that the count began with.
    start_90k: u64,
    /// Samples since then.
    counted: u64,
    started: bool,
}

impl SampleClock {
    /// For sound of `rate_hz` samples a second (0 is taken as 1).
    pub fn new(rate_hz: u32) -> Self {
        Self { rate_hz: u64::from(rate_hz.max(1)), start_90k: 0, counted: 0, started: false }
    }

    /// The time in 90 kHz units of the first of `samples` samples whose frame the timeline put at
    /// `timestamp_ms`. Never falls; follows the timeline again when the two part by more than half a second.
    pub fn stamp(&mut self, timestamp_ms: u64, samples: u32) -> u64 {
        let wanted_90k = timestamp_ms.saturating_mul(90);
        let counted_90k = self.now_90k();
        if !self.started || wanted_90k.abs_diff(counted_90k) > DRIFT_90K {
            // backwards the count only waits for the timeline: stamps never fall
            self.start_90k = if self.started { wanted_90k.max(counted_90k) } else { wanted_90k };
            self.counted = 0;
            self.started = true;
        }
        let stamp = self.now_90k();
        self.counted += u64::from(samples);
        stamp
    }

    fn now_90k(&self) -> u64 {
        self.start_90k.saturating_add(self.counted.saturating_mul(90_000) / self.rate_hz)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    struct Bench {
        timeline: Timeline,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { timeline: Timeline::new(), start: Instant::now() }
        }

        fn video(&mut self, device_ms: u64, arrival_ms: u64) -> u64 {
            self.timeline.place(Track::Video, device_ms, self.start + Duration::from_millis(arrival_ms))
        }

        fn audio(&mut self, device_ms: u64, arrival_ms: u64) -> u64 {
            self.timeline.place(Track::Audio, device_ms, self.start + Duration::from_millis(arrival_ms))
        }
    }

    #[test]
    fn differences_count_whatever_the_base_and_the_network() {
        for base in [0, 1_753_522_314_393, 0x0100_000a_bb6f, u64::MAX - 50] {
            let mut bench = Bench::new();
            assert_eq!(bench.video(base, 0), 0);
            assert_eq!(bench.audio(base.wrapping_sub(2), 0), 0);
            assert_eq!(bench.video(base.wrapping_add(40), 300), 40);
            assert_eq!(bench.video(base.wrapping_add(80), 300), 80);
            assert_eq!(bench.audio(base.wrapping_add(60), 300), 60);
            assert_eq!(bench.video(base.wrapping_add(120), 300), 120);
        }
    }

    #[test]
    fn a_clock_that_never_moves_gives_way_to_arrival() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(7, 0), 0);
        assert_eq!(bench.video(7, 40), 40);
        assert_eq!(bench.video(7, 40), 41);
        assert_eq!(bench.video(7, 120), 120);
        assert_eq!(bench.audio(7, 125), 120);
        assert_eq!(bench.audio(7, 2_000), 2_000);
    }

    #[test]
    fn a_clock_that_is_set_goes_on_from_where_it_was() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(1_000_000, 0), 0);
        assert_eq!(bench.video(1_000_040, 40), 40);
        assert_eq!(bench.video(1_753_522_314_393, 80), 80);
        assert_eq!(bench.video(1_753_522_314_433, 120), 120);
        assert_eq!(bench.video(5, 160), 160);
        assert_eq!(bench.video(45, 200), 200);
    }

    #[test]
    fn a_pause_of_the_device_is_a_pause_here() {
        let mut bench = Bench::new();
        bench.video(0, 0);
        assert_eq!(bench.video(60_000, 59_000), 60_000);
    }

    #[test]
    fn five_packets_with_one_stamp_are_spread_by_their_samples() {
        let mut clock = SampleClock::new(8_000);
        let mut stamps = Vec::new();
        for bunch in 0..3 {
            for _ in 0..5 {
                stamps.push(clock.stamp(1_000 + bunch * 125, 200));
            }
        }
        let wanted: Vec<u64> = (0..15).map(|packet| 90_000 + packet * 2_250).collect();
        assert_eq!(stamps, wanted);
    }

    #[test]
    fn the_sample_clock_follows_a_pause() {
        let mut clock = SampleClock::new(8_000);
        assert_eq!(clock.stamp(0, 320), 0);
        assert_eq!(clock.stamp(40, 320), 3_600);
        assert_eq!(clock.stamp(5_000, 320), 450_000);
        assert_eq!(clock.stamp(4_000, 320), 453_600);
    }

    proptest! {
        #[test]
        fn pictures_rise_and_sound_never_falls_by_much(
            frames in prop::collection::vec((any::<bool>(), any::<u64>(), 0_u64..500), 0..100),
        ) {
            let mut bench = Bench::new();
            let (mut arrival, mut last) = (0, None);
            for (video, device, wait) in frames {
                arrival += wait;
                if video {
                    let now = bench.video(device, arrival);
                    prop_assert!(last.is_none_or(|last| now > last));
                    last = Some(now);
                } else {
                    bench.audio(device, arrival);
                }
            }
        }
    }
}
