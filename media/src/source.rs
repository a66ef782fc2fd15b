//! One terminal's channel on its way in: packets to frames to units.
//!
//! Pictures pass untouched; sound becomes AAC. Knows no socket; times of arrival are passed in.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use protocol::aac::{AudioSpecificConfig, SAMPLES_PER_FRAME, adts_frames};
use protocol::jt1078::{
    Assembler, Counters as Assembled, Frame, FrameKind, PayloadType, SampleClock, SharedPacket,
};
use protocol::media::VideoTrack;
use protocol::nal::{ParameterSets, VideoCodec};

use crate::hub::{Claimed, HubHandle};
use crate::outlet::Outlet;
use crate::sound::{self, SoundThreads, Voice};
use crate::stats::Counters;

/// How often the sound is told how far the pictures are, ms.
const TELL_PICTURES_MS: u64 = 200;

/// See the module.
pub(crate) struct Source {
    id: u64,
    hub: HubHandle,
    outlet: Outlet,
    counters: Arc<Counters>,
    sounds: Arc<SoundThreads>,
    assembler: Assembler,
    assembled: Assembled,
    pictures: Pictures,
    sound: Sound,
    /// The picture that the sound was told of last, ms.
    told_ms: u64,
    arrived: bool,
}

/// What becomes of the sound. Whichever came first stays: a track has one form.
enum Sound {
    /// None was announced.
    None,
    /// Encoded; `heard`: the terminal spoke, so that it is not silence alone.
    Voice { voice: Voice, heard: bool },
    /// AAC that the terminal made itself; `heard` as above.
    Aac { config: AudioSpecificConfig, clock: SampleClock, heard: bool },
}

/// What is known of the pictures.
#[derive(Default)]
struct Pictures {
    sets: Option<ParameterSets>,
    track: Option<Arc<VideoTrack>>,
    /// Whether a key frame of this track came.
    began: bool,
}

impl Pictures {
    /// Learns what a frame tells of its track; whether the track is another one than before.
    fn learn(&mut self, codec: VideoCodec, access_unit: &[u8]) -> bool {
        let mut sets = self.sets.take().filter(|sets| sets.codec() == codec);
        let changed = match &mut sets {
            Some(sets) => sets.update(access_unit),
            // Another codec: what was known is void until its own sets and key frame come.
            None => {
                *self = Self::default();
                let sets = sets.insert(ParameterSets::new(codec));
                sets.update(access_unit)
            }
        };
        let track = sets.as_ref().filter(|_| changed).and_then(VideoTrack::new);
        self.sets = sets;
        match track {
            Some(track) if self.track.as_deref() != Some(&track) => {
                self.track = Some(Arc::new(track));
                true
            }
            _ => false,
        }
    }
}

impl Source {
    /// For the stream that was claimed.
    pub(crate) fn new(
        claimed: Claimed,
        epoch: u64,
        hub: HubHandle,
        sounds: Arc<SoundThreads>,
        counters: Arc<Counters>,
    ) -> Self {
        let mut assembler = Assembler::new();
        if let Some(av) = &claimed.av {
            assembler.expect(PayloadType(av.audio_payload_type), PayloadType(av.video_payload_type));
        }
        let base_90k = claimed.base_90k + sound::LEAD_90K;
        let outlet = Outlet::new(claimed.stream, epoch, base_90k, Arc::clone(&counters));
        let promised = outlet.stream().ring.forget_audio();
        let mut source = Self {
            id: claimed.source,
            hub,
            outlet,
            counters,
            sounds,
            assembled: assembler.counters(),
            assembler,
            pictures: Pictures::default(),
            sound: Sound::None,
            told_ms: 0,
            arrived: false,
        };
        // A terminal that names a codec has a microphone: viewers begin with a sound track, silent until it speaks.
        let named = claimed.av.is_some_and(|av| sound::is_decodable(PayloadType(av.audio_payload_type)));
        match promised {
            _ if named => source.open_voice(),
            None => {}
            Some(config) if config == sound::config() => source.open_voice(),
            Some(config) => source.promise_aac(config),
        }
        source
    }

    /// Who watched the last source was given its sound track, and waits for it.
    fn promise_aac(&mut self, config: AudioSpecificConfig) {
        let clock = SampleClock::new(config.sample_rate_hz);
        self.outlet.stream().ring.announce_audio(config);
        self.sound = Sound::Aac { config, clock, heard: false };
    }

    /// Takes a packet that arrived at `arrival`.
    pub(crate) fn packet(&mut self, packet: SharedPacket, arrival: Instant) {
        self.outlet.stream().ring.touch();
        let frame = self.assembler.push(packet, arrival);
        let now = self.assembler.counters();
        self.counters.frames_with_gap.add(
            now.sequence_gaps - self.assembled.sequence_gaps + now.dropped_frames
                - self.assembled.dropped_frames,
        );
        self.assembled = now;
        match frame {
            Some(frame) if frame.kind == FrameKind::Video => self.picture(&frame),
            Some(frame) if frame.kind == FrameKind::Audio => self.sound(frame),
            _ => {}
        }
    }

    fn picture(&mut self, frame: &Frame) {
        let codec = match frame.payload_type {
            PayloadType::H264 => VideoCodec::H264,
            PayloadType::H265 => VideoCodec::H265,
            _ => return self.counters.frames_unsupported.one(),
        };
        if self.pictures.learn(codec, &frame.data) && self.arrived {
            self.outlet.begin_generation();
        }
        // Until the first key frame, and after a loss until the next, a decoder would show rubbish.
        let Some(track) = &self.pictures.track else { return };
        if frame.gap || !(self.pictures.began || frame.key) {
            if self.pictures.began {
                self.outlet.stream().ring.touch_picture();
            }
            return;
        }
        self.pictures.began = true;
        self.outlet.picture(frame.timestamp_ms * 90, frame.key, Arc::clone(track), own(&frame.data));
        if !self.arrived {
            self.arrived = true;
            self.counters.sources.one();
            self.hub.arrived(self.outlet.stream().key, self.id);
        }
        self.keep_sound_up(frame.timestamp_ms);
    }

    /// Players wait for a track that was announced: where its sound lags, silence is put in.
    fn keep_sound_up(&mut self, picture_ms: u64) {
        if picture_ms < self.told_ms + TELL_PICTURES_MS {
            return;
        }
        self.told_ms = picture_ms;
        match &mut self.sound {
            Sound::None => {}
            Sound::Voice { voice, .. } => voice.picture(picture_ms),
            Sound::Aac { config, clock, .. } => {
                let Some(silence) = config.silent_frame() else { return };
                let Some((mut at_90k, samples)) = clock.silence(picture_ms, SAMPLES_PER_FRAME) else {
                    return;
                };
                for _ in 0..samples / SAMPLES_PER_FRAME {
                    self.outlet.sound(at_90k, *config, Bytes::from_static(silence));
                    at_90k += u64::from(config.frame_duration_90k());
                }
            }
        }
    }

    fn sound(&mut self, frame: Frame) {
        match (frame.payload_type, &mut self.sound) {
            (PayloadType::AAC | PayloadType::AAC_LC, Sound::None | Sound::Voice { heard: false, .. }) => {
                if let Sound::Voice { voice, .. } = mem::replace(&mut self.sound, Sound::None) {
                    voice.cut();
                }
                self.aac(&frame);
            }
            (PayloadType::AAC | PayloadType::AAC_LC, Sound::Aac { .. }) => self.aac(&frame),
            (payload_type, Sound::None | Sound::Voice { .. } | Sound::Aac { heard: false, .. })
                if sound::is_decodable(payload_type) =>
            {
                if !matches!(self.sound, Sound::Voice { .. }) {
                    self.open_voice();
                }
                let Sound::Voice { voice, heard } = &mut self.sound else {
                    return self.counters.audio_dropped.one();
                };
                *heard = true;
                if !voice.sound(payload_type, frame.timestamp_ms, frame.data) {
                    self.counters.audio_dropped.one();
                }
            }
            _ => self.counters.frames_unsupported.one(),
        }
    }

    /// From here on there is sound: a voice that gets none makes silence.
    fn open_voice(&mut self) {
        self.outlet.take_sound_over();
        // The encoder's times hold the lead already.
        if let Some(voice) = self.sounds.open(self.outlet.led(sound::LEAD_90K)) {
            self.sound = Sound::Voice { voice, heard: false };
            self.outlet.stream().ring.announce_audio(sound::config());
        }
    }

    fn aac(&mut self, frame: &Frame) {
        for adts in adts_frames(&frame.data) {
            let Ok(adts) = adts else { return self.counters.audio_dropped.one() };
            let rate_hz = adts.config.sample_rate_hz;
            let clock = match &self.sound {
                Sound::Aac { config, .. } if *config == adts.config => None,
                Sound::Aac { clock, .. } => Some(clock.at_rate(rate_hz)),
                Sound::None | Sound::Voice { .. } => {
                    self.outlet.take_sound_over();
                    Some(SampleClock::new(rate_hz))
                }
            };
            if let Some(clock) = clock {
                self.outlet.stream().ring.announce_audio(adts.config);
                self.sound = Sound::Aac { config: adts.config, clock, heard: true };
            }
            let Sound::Aac { config, clock, heard } = &mut self.sound else { return };
            *heard = true;
            let Some(at_90k) = clock.stamp(frame.timestamp_ms, SAMPLES_PER_FRAME) else {
                self.counters.audio_dropped.one();
                continue;
            };
            self.outlet.sound(at_90k, *config, own(adts.data));
        }
    }

    /// Puts what is held back into the ring, then tells the hub that the source is gone.
    pub(crate) async fn finish(self) {
        if let Sound::Voice { voice, .. } = self.sound {
            voice.finish().await;
        }
        self.hub.lost(self.outlet.stream().key, self.id);
    }
}

/// Bytes of their own: a share of a read buffer would keep all of that in memory for as long as a ring keeps
/// the share.
fn own(data: &[u8]) -> Bytes {
    Bytes::copy_from_slice(data)
}
