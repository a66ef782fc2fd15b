//! Where a source's units go, and with which marks.
//!
//! A stream has one sound track. Which of a source's sounds has it (silence that stands in, sound that is
//! encoded here, sound that the terminal encoded) is settled here, as an encoder on its thread may still have
//! something to say when the next one begins. Knows no codec.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use protocol::aac::AudioSpecificConfig;
use protocol::media::VideoTrack;

use crate::stats::Counters;
use crate::stream::Stream;
use crate::unit::{Config, Unit};

/// See the module. Clones are of one source.
#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    stream: Arc<Stream>,
    epoch: u64,
    /// The source's generation, which a codec change raises.
    generation: Arc<AtomicU64>,
    /// The stream's time at the source's time 0, 90 kHz.
    base_90k: u64,
    counters: Arc<Counters>,
    track: Arc<Mutex<SoundTrack>>,
    /// Whose sound goes through this: a number that rises with every sound of the source.
    turn: u64,
}

/// The sound track as far as it is made.
#[derive(Debug, Default)]
struct SoundTrack {
    /// Whose it is; who had it before puts nothing more in.
    turn: u64,
    /// Whether the one whose it is has begun.
    begun: bool,
    /// Where its last unit ends, the stream's time, 90 kHz.
    end_90k: u64,
}

impl Outlet {
    /// Of a new source of `stream`, whose time 0 is the stream's `base_90k`.
    pub(crate) fn new(stream: Arc<Stream>, epoch: u64, base_90k: u64, counters: Arc<Counters>) -> Self {
        let generation = Arc::new(AtomicU64::new(stream.next_generation()));
        Self { stream, epoch, generation, base_90k, counters, track: Arc::default(), turn: 0 }
    }

    /// The stream.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What is counted.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What comes from here on has another codec than what came.
    pub(crate) fn begin_generation(&self) {
        self.generation.store(self.stream.next_generation(), Ordering::Relaxed);
    }

    /// From here on the sound track is this outlet's and its later clones', and no longer its earlier clones'. It
    /// goes on no earlier than it ended.
    pub(crate) fn take_sound_over(&mut self) {
        let mut track = self.track.lock();
        track.turn += 1;
        track.begun = false;
        self.turn = track.turn;
    }

    /// The same for one whose times lie `lead_90k` later than this one's.
    pub(crate) fn led(&self, lead_90k: u64) -> Self {
        Self { base_90k: self.base_90k.saturating_sub(lead_90k), ..self.clone() }
    }

    /// Puts a picture into the ring. `at_90k` is the source's time.
    pub(crate) fn picture(&self, at_90k: u64, key: bool, track: Arc<VideoTrack>, data: Bytes) {
        self.push(self.unit(at_90k, 0, key, Config::Video(track), data));
    }

    /// Puts a frame of sound into the ring, unless another sound has the track by now. One that begins before
    /// the end of the sound from which the track was taken over is left out, and counted. `at_90k` is the
    /// source's time.
    pub(crate) fn sound(&self, at_90k: u64, config: AudioSpecificConfig, data: Bytes) {
        let unit = self.unit(at_90k, config.frame_duration_90k(), false, Config::Audio(config), data);
        let mut track = self.track.lock();
        if self.turn != track.turn {
            return;
        }
        if !track.begun && unit.dts_90k < track.end_90k {
            return self.counters.audio_dropped.one();
        }
        track.begun = true;
        track.end_90k = unit.dts_90k + u64::from(unit.duration_90k);
        // Still locked: who takes over must find all in the ring that ends where it begins.
        self.push(unit);
    }

    fn unit(&self, at_90k: u64, duration_90k: u32, key: bool, config: Config, data: Bytes) -> Unit {
        Unit {
            epoch: self.epoch,
            generation: self.generation.load(Ordering::Relaxed),
            dts_90k: self.base_90k + at_90k,
            duration_90k,
            key,
            config,
            data,
            flv: OnceLock::new(),
        }
    }

    fn push(&self, unit: Unit) {
        if self.stream.ring.push(unit) {
            self.counters.units.one();
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::Counts as _;
    use protocol::nal::{ParameterSets, VideoCodec};

    use super::*;
    use crate::ring::Bounds;

    #[test]
    fn sound_that_takes_over_from_silence_begins_where_the_silence_ended() {
        let bounds = Bounds { bytes_max: 1 << 20, units_max: 100, span_90k_max: u64::MAX };
        let stream = Arc::new(Stream::new("live-42-2-main".parse().expect("a key"), bounds));
        let counters = Arc::new(Counters::default());
        let mut outlet = Outlet::new(Arc::clone(&stream), 1, 90_000, Arc::clone(&counters));
        let config = |rate_hz| AudioSpecificConfig::lc(rate_hz, 1).expect("a standard rate");
        let picture = VideoTrack {
            codec: VideoCodec::H264,
            width: 352,
            height: 288,
            parameter_sets: ParameterSets::new(VideoCodec::H264),
        };
        outlet.picture(0, true, Arc::new(picture), Bytes::new());

        outlet.take_sound_over();
        let silence = outlet.led(11_520);
        for at_90k in [11_520, 23_040] {
            silence.sound(at_90k, config(8_000), Bytes::new());
        }
        outlet.take_sound_over();
        // The encoder's thread has not heard of it yet.
        silence.sound(34_560, config(8_000), Bytes::new());
        for number in 0..8 {
            outlet.sound(11_000 + number * 5_760, config(16_000), Bytes::new());
        }
        silence.sound(46_080, config(8_000), Bytes::new());

        let units = stream.ring.cursor().take().expect("units").units;
        let ends: Vec<_> = units
            .iter()
            .filter(|unit| !unit.is_video())
            .map(|unit| (unit.dts_90k - 90_000, unit.dts_90k - 90_000 + u64::from(unit.duration_90k)))
            .collect();
        assert_eq!(ends[..3], [(0, 11_520), (11_520, 23_040), (28_280, 34_040)]);
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ends:?}");
        assert_eq!(ends.len(), 2 + 5);
        assert_eq!(counters.snapshot().audio_dropped, 3);
    }
}
