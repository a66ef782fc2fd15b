//! Time stamps for sound, by counting its samples.
//!
//! Devices stamp several packets alike, send them in bunches, and sample a little faster or slower than they
//! say. Knows no codec and no packets.

/// How far sample count and timeline may part, 90 kHz: half a second.
const DRIFT_90K: u64 = 45_000;

/// Sound that lags further behind the pictures than this is not filled up with silence, 90 kHz: the pictures
/// had the same gap.
const SILENCE_90K_MAX: u64 = 180_000;

/// Time stamps for sound by counting samples, held to the stream's timeline within half a second.
#[derive(Clone, Debug)]
pub struct SampleClock {
    rate_hz: u64,
    /// Time of the sample that the count began with; None: there was no sound yet.
    start_90k: Option<u64>,
    /// Samples since then.
    counted: u64,
    /// Time of the first picture that was told of.
    pictures_90k: Option<u64>,
}

impl SampleClock {
    /// For sound of `rate_hz` samples a second (0 is taken as 1).
    pub fn new(rate_hz: u32) -> Self {
        Self { rate_hz: u64::from(rate_hz.max(1)), start_90k: None, counted: 0, pictures_90k: None }
    }

    /// The clock of sound of another rate that goes on from here: it begins no earlier than this one ended.
    pub fn at_rate(&self, rate_hz: u32) -> Self {
        Self { start_90k: self.now_90k(), pictures_90k: self.pictures_90k, ..Self::new(rate_hz) }
    }

    /// The time in 90 kHz units of the first of `samples` samples whose frame the timeline put at
    /// `timestamp_ms`; never falls. None: there is half a second more of sound than of time already, so these
    /// samples have to be left out.
    ///
    /// Where the count lags by more than half a second, it goes on from the timeline.
    pub fn stamp(&mut self, timestamp_ms: u64, samples: u32) -> Option<u64> {
        let wanted_90k = timestamp_ms.saturating_mul(90);
        let stamp_90k = match self.now_90k() {
            Some(now_90k) if now_90k > wanted_90k.saturating_add(DRIFT_90K) => return None,
            Some(now_90k) if now_90k.saturating_add(DRIFT_90K) >= wanted_90k => now_90k,
            _ => self.restart(wanted_90k),
        };
        self.counted += u64::from(samples);
        Some(stamp_90k)
    }

    /// Tells of a picture at `timestamp_ms`: how many samples of silence, from which time on (90 kHz), keep
    /// the sound from lagging further behind it than half a second, in whole frames of `frame_samples` (at
    /// least 1); None: none.
    pub fn silence(&mut self, timestamp_ms: u64, frame_samples: u32) -> Option<(u64, u32)> {
        let picture_90k = timestamp_ms.saturating_mul(90);
        let begun_90k = *self.pictures_90k.get_or_insert(picture_90k);
        let least_90k = picture_90k.saturating_sub(DRIFT_90K);
        let now_90k = self.now_90k().unwrap_or(begun_90k);
        let lag_90k = least_90k.checked_sub(now_90k).filter(|lag| *lag > 0)?;
        if lag_90k > SILENCE_90K_MAX {
            self.restart(least_90k);
            return None;
        }
        if self.start_90k.is_none() {
            self.restart(now_90k);
        }
        let frame_samples = u64::from(frame_samples.max(1));
        let samples = lag_90k * self.rate_hz / 90_000 / frame_samples * frame_samples;
        self.counted += samples;
        u32::try_from(samples).ok().filter(|samples| *samples > 0).map(|samples| (now_90k, samples))
    }

    /// The time of the next sample.
    fn now_90k(&self) -> Option<u64> {
        let counted_90k = self.counted.saturating_mul(90_000) / self.rate_hz;
        self.start_90k.map(|start_90k| start_90k.saturating_add(counted_90k))
    }

    fn restart(&mut self, at_90k: u64) -> u64 {
        self.counted = 0;
        *self.start_90k.insert(at_90k)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::time::{Duration, Instant};

    use super::*;
    use crate::jt1078::{Timeline, Track};

    /// Three hours of 25 pictures a second and of sound in packets of 40 ms, `bunch` sent at once, by a clock
    /// that runs at `ppm` millionths of true time; `picture_stamp` of the time a picture is made at. How many
    /// millionths of the sound were kept, and how far at most it was put from the newest picture, ms.
    fn three_hours(ppm: u64, bunch: u64, picture_stamp: impl Fn(u64) -> u64) -> (u64, u64) {
        const BASE_MS: u64 = 1_000_000;
        let (mut timeline, mut clock, start) = (Timeline::new(), SampleClock::new(8_000), Instant::now());
        let (mut sent, mut kept, mut parted_ms, mut told_ms) = (0_u64, 0_u64, 0, 0);
        for at_ms in (0..3 * 3_600_000).step_by(40) {
            let arrival = start + Duration::from_millis(at_ms);
            let picture_ms = timeline.place(Track::Video, BASE_MS + picture_stamp(at_ms), arrival);
            if picture_ms >= told_ms + 200 {
                told_ms = picture_ms;
                clock.silence(picture_ms, 1);
            }
            while (sent + bunch) * 40 * 1_000_000 <= at_ms * ppm {
                for _ in 0..bunch {
                    let sound_ms = timeline.place(Track::Audio, BASE_MS + sent * 40, arrival);
                    sent += 1;
                    if let Some(stamp_90k) = clock.stamp(sound_ms, 320) {
                        kept += 1;
                        parted_ms = parted_ms.max((stamp_90k / 90).abs_diff(picture_ms));
                    }
                }
            }
        }
        (kept * 1_000_000 / sent, parted_ms)
    }

    #[test]
    fn silence_locks_no_sound_out_however_far_the_clocks_part() {
        for ppm in [980_000, 999_800, 1_000_000, 1_000_200, 1_020_000] {
            for bunch in [1, 5, 25] {
                for jump_ms in [0, 1_200, 2_000] {
                    let (kept, parted_ms) = three_hours(ppm, bunch, |at_ms| match at_ms {
                        0..3_600_000 => at_ms,
                        _ => at_ms + jump_ms,
                    });
                    let case = format!("{ppm} ppm, bunches of {bunch}, {jump_ms} ms: {kept} {parted_ms} ms");
                    assert!(kept >= 950_000, "{case}");
                    assert!(parted_ms <= 1_500, "{case}");
                }
            }
        }
    }

    #[test]
    fn a_clock_of_another_rate_goes_on_where_the_last_one_ended() {
        let mut clock = SampleClock::new(8_000);
        assert_eq!(clock.stamp(1_000, 3_200), Some(90_000));
        let mut faster = clock.at_rate(16_000);
        assert_eq!(faster.stamp(1_000, 1_600), Some(126_000));
        assert_eq!(faster.stamp(1_400, 1_600), Some(135_000));
        assert_eq!(SampleClock::new(8_000).at_rate(16_000).stamp(70, 1), Some(6_300));
    }

    #[test]
    fn five_packets_with_one_stamp_are_spread_by_their_samples() {
        let mut clock = SampleClock::new(8_000);
        let mut stamps = Vec::new();
        for bunch in 0..3 {
            for _ in 0..5 {
                stamps.push(clock.stamp(1_000 + bunch * 125, 200).expect("in time"));
            }
        }
        let wanted: Vec<u64> = (0..15).map(|packet| 90_000 + packet * 2_250).collect();
        assert_eq!(stamps, wanted);
    }

    #[test]
    fn a_pause_is_followed_and_sound_too_much_is_left_out() {
        let mut clock = SampleClock::new(8_000);
        assert_eq!(clock.stamp(0, 320), Some(0));
        assert_eq!(clock.stamp(40, 320), Some(3_600));
        assert_eq!(clock.stamp(5_000, 320), Some(450_000));
        assert_eq!(clock.stamp(4_000, 320), None);
        assert_eq!(clock.stamp(4_600, 320), Some(453_600));
    }

    #[test]
    fn a_fast_sampler_never_leads_by_more_than_half_a_second() {
        let mut clock = SampleClock::new(8_000);
        let (mut left_out, mut next) = (0, 0);
        // Ten minutes of 40 ms packets that hold 44 ms of sound.
        for packet in 0..15_000 {
            match clock.stamp(packet * 40, 352) {
                Some(stamp) => {
                    assert!(stamp >= next && stamp <= packet * 40 * 90 + DRIFT_90K, "{packet}: {stamp}");
                    next = stamp + 352 * 90 / 8;
                }
                None => left_out += 1,
            }
        }
        assert!((1_300..1_400).contains(&left_out), "{left_out}");
    }

    #[test]
    fn silence_stands_in_for_sound_that_does_not_come() {
        let mut clock = SampleClock::new(8_000);
        let mut silent = 0;
        for picture in 0..100 {
            if let Some((at_90k, samples)) = clock.silence(1_000 + picture * 40, 1) {
                assert_eq!(at_90k, 90_000 + silent * 90 / 8);
                silent += u64::from(samples);
            }
        }
        // up to half a second before the last picture
        assert_eq!(silent, (99 * 40 - 500) * 8);
        // sound that begins now goes on from there
        assert_eq!(clock.stamp(4_960, 320), Some(90_000 + silent * 90 / 8));
        assert_eq!(clock.silence(5_000, 1), None);
    }

    #[test]
    fn a_gap_of_the_pictures_is_not_filled() {
        let mut clock = SampleClock::new(8_000);
        assert_eq!(clock.stamp(0, 320), Some(0));
        assert_eq!(clock.silence(60_000, 1), None);
        assert_eq!(clock.silence(60_040, 1), Some((59_500 * 90, 320)));
        assert_eq!(clock.silence(60_240, 1_024), Some((59_540 * 90, 1_024)));
    }

    proptest! {
        #[test]
        fn stamps_never_overlap(
            calls in prop::collection::vec((any::<bool>(), 0_u64..100_000, 0_u32..4_000), 0..200),
        ) {
            let (mut clock, mut next) = (SampleClock::new(8_000), 0);
            for (sound, at_ms, samples) in calls {
                let stamped = if sound {
                    clock.stamp(at_ms, samples).map(|stamp| (stamp, samples))
                } else {
                    clock.silence(at_ms, 1)
                };
                if let Some((stamp, samples)) = stamped {
                    // rounding of counts to ticks
                    prop_assert!(stamp + 1 >= next, "{stamp} < {next}");
                    next = stamp + u64::from(samples) * 90 / 8;
                }
            }
        }
    }
}
