//! Time stamps that can be relied on, made of device stamps that cannot.
//!
//! Devices stamp with anything: Unix time, local time taken as UTC, 2^40 and their uptime, 0, one value for
//! ever; and some stamp sound by another clock than pictures. Only the differences within a track mean
//! something, and not always.

use std::time::Instant;

/// A stamp that runs ahead of arrival by more than this, both since its track's last frame and since the stream
/// began, is a jump of the clock: the network holds frames up for some time, but brings none too early.
const FORWARD_MS: i64 = 1_500;

/// What a track ran ahead in smaller jumps is taken back up to this once its clock falls: a clock that jumps to
/// and fro must not add up, and one that was set once must not have its pictures crawl for long.
const OWED_MS_MAX: i64 = 3_000;

/// A stamp may be this much older than its track's last (B frames, sound sent late); beyond, the clock was set.
const BACKWARD_MS: i64 = 500;

/// Stamps of the two tracks no further apart than this, waiting taken off, are of one clock: sound then keeps
/// the device's own distance to its pictures. Clocks further apart are matched by arrival.
const ONE_CLOCK_MS: i64 = 1_000;

/// Sound is kept this close to the pictures, whatever its stamps say. No more than twice what
/// [`SampleClock`](super::SampleClock) holds to: silence fills up to half a second behind the pictures, and sound
/// half a second behind that silence is still let in, so that no silence ever locks sound out.
const PARTED_MS: i64 = 1_000;

/// When more pictures than this in a row do not rise, the clock stands; arrival takes its place. B frames fall,
/// but not as often.
const STANDING_PICTURES: u32 = 3;

/// Sound comes in bunches that share a stamp; of a clock that moves, no more packets than this do not rise.
const STANDING_SOUNDS: u32 = 16;

/// A picture that repeats a stamp of a clock that moves is put at most this far behind the first with it.
const REPEAT_MS: i64 = 200;

/// Which of a stream's two stamp sequences a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Re-bases the stamps of one stream: only their differences count, and where a clock stops or jumps the time
/// of arrival takes its place.
///
/// Each track has a clock of its own, so that what one of them does never moves the other. Where both stamp by
/// one clock, sound keeps the device's own distance to its pictures.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    origin: Option<Instant>,
    video: Option<Clock>,
    audio: Option<Clock>,
}

/// A track's clock as it stands.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The newest stamp.
    device_ms: u64,
    /// Where the first frame with this stamp was placed, and when it came. Repeats do not move it.
    placed_ms: i64,
    arrival_ms: i64,
    /// How many frames since then did not rise above it.
    repeats: u32,
    /// How far it ran ahead of arrival in jumps that were believed and not taken back.
    owed_ms: i64,
    /// What the last frame was given, and when it came.
    given_ms: i64,
    given_at_ms: i64,
}

impl Clock {
    fn begin(device_ms: u64, placed_ms: i64, arrival_ms: i64) -> Self {
        Self {
            device_ms,
            placed_ms,
            arrival_ms,
            repeats: 0,
            owed_ms: 0,
            given_ms: placed_ms,
            given_at_ms: arrival_ms,
        }
    }

    fn step_ms(&self, device_ms: u64) -> i64 {
        device_ms.wrapping_sub(self.device_ms).cast_signed()
    }

    /// The time of the track now, by arrival since its last frame.
    fn now_ms(&self, arrival_ms: i64) -> i64 {
        self.given_ms.saturating_add((arrival_ms - self.given_at_ms).max(0))
    }

    fn stands(&self, track: Track) -> bool {
        self.repeats
            > match track {
                Track::Video => STANDING_PICTURES,
                Track::Audio => STANDING_SOUNDS,
            }
    }

    /// The clock after one more frame of `track`, by its own stamps; None: they cannot be believed.
    fn follow(mut self, track: Track, device_ms: u64, arrival_ms: i64) -> Option<Self> {
        let waited_ms = (arrival_ms - self.arrival_ms).max(0);
        let step_ms = self.step_ms(device_ms);
        let placed_ms = self.placed_ms.saturating_add(step_ms);
        if step_ms < -BACKWARD_MS {
            return None;
        }
        if step_ms <= 0 {
            self.repeats = self.repeats.saturating_add(1);
            let behind_ms = match track {
                _ if self.stands(track) => waited_ms,
                Track::Video if step_ms == 0 => waited_ms.min(REPEAT_MS),
                _ => step_ms,
            };
            self.given_ms = self.placed_ms.saturating_add(behind_ms);
            self.given_at_ms = arrival_ms;
            return Some(self);
        }
        let ahead_ms = step_ms.saturating_sub(waited_ms).min(placed_ms.saturating_sub(arrival_ms));
        // It stood, arrival took its place, and it goes on from where it stood.
        let went_on = self.stands(track) && placed_ms < self.given_ms.saturating_sub(BACKWARD_MS);
        if ahead_ms > FORWARD_MS || went_on {
            return None;
        }
        // A fall by less is followed by itself.
        let jumped_ms = if ahead_ms > BACKWARD_MS { ahead_ms } else { 0 };
        let owed_ms = self.owed_ms.saturating_add(jumped_ms).min(OWED_MS_MAX);
        Some(Self { owed_ms, ..Self::begin(device_ms, placed_ms, arrival_ms) })
    }

    /// The clock after a fall, where it takes back what was owed; None: nothing was, or it did not fall.
    ///
    /// Not by the other track, which may have been moved along.
    fn give_back(self, device_ms: u64, arrival_ms: i64) -> Option<Self> {
        let step_ms = self.step_ms(device_ms);
        if step_ms >= 0 || self.owed_ms == 0 {
            return None;
        }
        // It fell behind arrival by its step and by what it should have risen.
        let fallen_ms = (arrival_ms - self.arrival_ms).max(0).saturating_sub(step_ms);
        let returned_ms = self.owed_ms.min(fallen_ms);
        let placed_ms = self.now_ms(arrival_ms).saturating_sub(returned_ms);
        Some(Self { owed_ms: self.owed_ms - returned_ms, ..Self::begin(device_ms, placed_ms, arrival_ms) })
    }
}

impl Timeline {
    /// A timeline that begins at 0 with its first stamp.
    pub fn new() -> Self {
        Self::default()
    }

    /// Milliseconds since the first stamp for a frame stamped `device_ms` that arrived at `arrival`.
    ///
    /// Pictures always rise by at least 1 ms. Sounds may share one value or fall a little
    /// ([`SampleClock`](super::SampleClock) makes them rise) and never part from the pictures by more than
    /// a second.
    pub fn place(&mut self, track: Track, device_ms: u64, arrival: Instant) -> u64 {
        let origin = *self.origin.get_or_insert(arrival);
        let arrival_ms =
            i64::try_from(arrival.saturating_duration_since(origin).as_millis()).unwrap_or(i64::MAX);
        let clock = match track {
            Track::Video => {
                let mut clock = follow_or_place(track, self.video, self.audio, device_ms, arrival_ms);
                let least_ms = self.video.map_or(0, |last| last.given_ms.saturating_add(1));
                clock.given_ms = clock.given_ms.max(least_ms);
                *self.video.insert(clock)
            }
            Track::Audio => {
                *self.audio.insert(follow_or_place(track, self.audio, self.video, device_ms, arrival_ms))
            }
        };
        u64::try_from(clock.given_ms).unwrap_or(0)
    }
}

/// The clock of `track` after one more frame: `own`'s where its stamps can be believed, else placed anew beside
/// the `other` track.
fn follow_or_place(
    track: Track,
    own: Option<Clock>,
    other: Option<Clock>,
    device_ms: u64,
    arrival_ms: i64,
) -> Clock {
    let follows = own.and_then(|own| own.follow(track, device_ms, arrival_ms));
    if let Some(clock) = follows
        && (track == Track::Video
            || other.is_none_or(|pictures| is_beside(clock.given_ms, pictures, arrival_ms)))
    {
        return clock;
    }
    if track == Track::Video
        && let Some(clock) = own.and_then(|own| own.give_back(device_ms, arrival_ms))
    {
        return clock;
    }
    // A track that stays behind what it was given would be squeezed together: better by arrival then.
    let least_ms = own.map_or(i64::MIN, |own| own.given_ms.saturating_sub(BACKWARD_MS));
    // And one that leapt ahead where its own stamps were not believed would do so with every jump.
    let most_ms = own.map_or(i64::MAX, |own| own.now_ms(arrival_ms).saturating_add(BACKWARD_MS));
    let by_one_clock = other.and_then(|other| {
        let step_ms = other.step_ms(device_ms);
        let waited_ms = (arrival_ms - other.arrival_ms).max(0);
        let placed_ms = other.placed_ms.saturating_add(step_ms);
        let is_one = (-ONE_CLOCK_MS..=waited_ms + ONE_CLOCK_MS).contains(&step_ms);
        let stays = match track {
            Track::Video => (least_ms..=most_ms).contains(&placed_ms),
            Track::Audio => is_beside(placed_ms, other, arrival_ms),
        };
        (is_one && stays).then_some(placed_ms)
    });
    if let Some(placed_ms) = by_one_clock {
        return Clock::begin(device_ms, placed_ms, arrival_ms);
    }
    match (track, own, other) {
        (Track::Audio, _, Some(pictures)) => Clock::begin(device_ms, pictures.now_ms(arrival_ms), arrival_ms),
        (_, Some(own), _) => Clock::begin(device_ms, own.now_ms(arrival_ms), arrival_ms),
        (_, None, Some(other)) => Clock::begin(device_ms, other.now_ms(arrival_ms), arrival_ms),
        (_, None, None) => Clock::begin(device_ms, 0, arrival_ms),
    }
}

/// Whether sound at `sound_ms` is near enough to the pictures; those may have been waited for since.
fn is_beside(sound_ms: i64, pictures: Clock, arrival_ms: i64) -> bool {
    (pictures.given_ms.saturating_sub(PARTED_MS)..=pictures.now_ms(arrival_ms).saturating_add(PARTED_MS))
        .contains(&sound_ms)
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
        for base in [0, 1_753_522_314_393, 0x0100_000a_bb6f, u64::MAX - 50, u64::from(u32::MAX) + 1] {
            let mut bench = Bench::new();
            assert_eq!(bench.video(base, 0), 0);
            assert_eq!(bench.audio(base.wrapping_sub(2), 0), 0);
            assert_eq!(bench.video(base.wrapping_add(40), 300), 40);
            assert_eq!(bench.video(base.wrapping_add(80), 300), 80);
            assert_eq!(bench.audio(base.wrapping_add(60), 300), 60);
            assert_eq!(bench.video(base.wrapping_add(120), 300), 120);
        }
    }

    /// Two minutes of 25 pictures and 25 sounds a second, stamped by `stamp`; the greatest distance of a
    /// picture's time from the time it was made, and of a sound's from the picture made with it.
    fn two_minutes(mut stamp: impl FnMut(Track, u64) -> u64) -> (u64, u64) {
        let mut bench = Bench::new();
        let (mut late, mut parted) = (0, 0);
        for at_ms in (0..120_000).step_by(40) {
            let picture = bench.video(stamp(Track::Video, at_ms), at_ms);
            let sound = bench.audio(stamp(Track::Audio, at_ms), at_ms);
            late = late.max(picture.abs_diff(at_ms));
            parted = parted.max(sound.abs_diff(picture));
        }
        (late, parted)
    }

    #[test]
    fn clocks_of_picture_and_sound_may_be_apart_by_any_time() {
        for apart_ms in [0, 2_000, 3_500, 10_000, 3_600_000] {
            let sound_behind = |track, at_ms| match track {
                Track::Video => at_ms + apart_ms,
                Track::Audio => at_ms,
            };
            assert_eq!(two_minutes(sound_behind), (0, 0), "sound {apart_ms} ms behind");
            let sound_ahead = |track, at_ms| match track {
                Track::Video => at_ms,
                Track::Audio => at_ms + apart_ms,
            };
            assert_eq!(two_minutes(sound_ahead), (0, 0), "sound {apart_ms} ms ahead");
        }
    }

    #[test]
    fn sound_keeps_the_device_s_own_distance_where_both_stamp_by_one_clock() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(50_000, 0), 0);
        assert_eq!(bench.audio(49_400, 0), 0);
        assert_eq!(bench.video(50_800, 800), 800);
        assert_eq!(bench.audio(50_200, 800), 200);
        // set: the first of the two goes by arrival, the other keeps its distance to it
        assert_eq!(bench.video(1_753_522_314_393, 900), 900);
        assert_eq!(bench.audio(1_753_522_314_393 - 550, 900), 350);
    }

    #[test]
    fn a_clock_that_never_moves_gives_way_to_arrival() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(7, 0), 0);
        assert_eq!(bench.video(7, 40), 40);
        assert_eq!(bench.video(7, 40), 41);
        assert_eq!(bench.video(7, 120), 120);
        assert_eq!(two_minutes(|_, _| 7).0, 0);
        assert!(two_minutes(|_, _| 7).1 <= 700);
    }

    #[test]
    fn pictures_that_share_stamps_in_pairs_add_nothing() {
        for shared in [2, 3, 5] {
            let (late, parted) = two_minutes(|track, at_ms| match track {
                Track::Video => at_ms / (40 * shared) * (40 * shared),
                Track::Audio => at_ms,
            });
            assert!(late <= REPEAT_MS.unsigned_abs() && parted <= late, "{shared}: {late} {parted}");
        }
    }

    #[test]
    fn a_repeated_stamp_that_the_network_held_up_adds_nothing() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(1_000, 0), 0);
        assert_eq!(bench.video(1_000, 3_000), 200);
        assert_eq!(bench.video(1_040, 3_000), 201);
        assert_eq!(bench.video(4_000, 3_000), 3_000);
        assert_eq!(bench.video(4_040, 3_040), 3_040);
    }

    #[test]
    fn a_clock_that_stood_goes_on_by_arrival() {
        let (late, _) = two_minutes(|track, at_ms| match track {
            Track::Video if at_ms < 30_000 => 0,
            Track::Video => at_ms - 30_000,
            Track::Audio => at_ms,
        });
        assert!(late <= 40, "{late}");
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
        // back by less than the frames seen since
        assert_eq!(bench.video(85, 240), 240);
        assert_eq!(bench.video(1_000, 1_240), 1_155);
        assert_eq!(bench.video(45, 1_280), 1_195);
    }

    #[test]
    fn clocks_that_are_set_again_and_again_do_not_run_away() {
        for set_by_ms in [900, 5_000, 60_000] {
            // Every ten seconds it falls back by so much.
            let (late, parted) = two_minutes(|_, at_ms| 10_000_000 + at_ms - at_ms / 10_000 * set_by_ms);
            assert!(late <= 1 && parted <= 40, "{set_by_ms}: {late} {parted}");
        }
    }

    #[test]
    fn jumps_to_and_fro_do_not_add_up() {
        for by_ms in [300, 700, 1_000, 1_400, 3_000, 9_000] {
            let on_key_frames = |track, at_ms| match track {
                Track::Video if at_ms % 1_000 == 0 => at_ms + by_ms,
                _ => at_ms,
            };
            let (late, parted) = two_minutes(on_key_frames);
            assert!(late <= 2_000 && parted <= PARTED_MS.unsigned_abs(), "{by_ms}: {late} {parted}");
            for run in [1, 3, 40] {
                let two_clocks = |_, at_ms| at_ms + at_ms / 40 / run % 2 * by_ms;
                let (late, parted) = two_minutes(two_clocks);
                assert!(late <= 2_000, "{by_ms} in runs of {run}: {late}");
                assert!(parted <= PARTED_MS.unsigned_abs(), "{by_ms} in runs of {run}: {parted}");
            }
        }
    }

    #[test]
    fn a_clock_that_falls_a_little_and_then_stands_gives_way_to_arrival() {
        for by_ms in [1, 40, 400] {
            let (late, parted) = two_minutes(|track, at_ms| match track {
                Track::Video if at_ms > 10_000 => 10_000 - by_ms,
                _ => at_ms,
            });
            assert!(late <= REPEAT_MS.unsigned_abs() && parted <= late, "{by_ms}: {late} {parted}");
        }
    }

    #[test]
    fn a_counter_of_32_bits_wraps_and_time_goes_on() {
        let start = u64::from(u32::MAX) - 60_000;
        let (late, parted) = two_minutes(|_, at_ms| (start + at_ms) & 0xFFFF_FFFF);
        assert!(late <= 1 && parted <= 1, "{late} {parted}");
        let start = u64::MAX - 60_000;
        assert_eq!(two_minutes(|_, at_ms| start.wrapping_add(at_ms)), (0, 0));
    }

    #[test]
    fn a_sound_clock_that_is_fast_or_slow_stays_beside_the_pictures() {
        for percent in [90, 98, 102, 110, 200] {
            let (late, parted) = two_minutes(|track, at_ms| match track {
                Track::Video => at_ms,
                Track::Audio => at_ms * percent / 100,
            });
            assert!(late == 0 && parted <= PARTED_MS.unsigned_abs(), "{percent} %: {late} {parted}");
        }
    }

    #[test]
    fn a_pause_of_the_device_is_a_pause_here() {
        let mut bench = Bench::new();
        bench.video(0, 0);
        assert_eq!(bench.video(60_000, 59_000), 60_000);
        assert_eq!(bench.audio(60_020, 59_000), 60_020);
    }

    #[test]
    fn sound_that_waited_behind_a_stall_keeps_its_place() {
        let mut bench = Bench::new();
        assert_eq!(bench.video(0, 0), 0);
        assert_eq!(bench.audio(0, 0), 0);
        assert_eq!(bench.audio(20, 5_000), 20);
        assert_eq!(bench.video(40, 5_000), 40);
        assert_eq!(bench.audio(60, 5_000), 60);
    }

    proptest! {
        #[test]
        fn pictures_rise_and_sound_stays_beside_them_whatever_comes(
            frames in prop::collection::vec(
                (any::<bool>(), prop_oneof![any::<u64>(), 0..20_000_u64], 0_u64..4_000), 0..100),
        ) {
            let mut bench = Bench::new();
            let mut arrival = 0;
            let mut last: Option<(u64, u64)> = None;
            for (video, device, wait) in frames {
                arrival += wait;
                if video {
                    let now = bench.video(device, arrival);
                    prop_assert!(last.is_none_or(|(last, _)| now > last));
                    last = Some((now, arrival));
                } else {
                    let sound = bench.audio(device, arrival);
                    if let Some((picture, at)) = last {
                        prop_assert!(sound + PARTED_MS.unsigned_abs() >= picture);
                        prop_assert!(sound <= picture + (arrival - at) + PARTED_MS.unsigned_abs());
                    }
                }
            }
        }
    }
}
