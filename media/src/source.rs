//! One terminal's channel on its way in: packets to frames to units.
//!
//! Pictures pass untouched; sound becomes AAC. Knows no socket; times of arrival are passed in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use protocol::aac::{AudioSpecificConfig, adts_frames};
use protocol::jt1078::{
    Assembler, Counters as Assembled, Frame, FrameKind, PayloadType, SampleClock, SharedPacket,
};
use protocol::media::VideoTrack;
use protocol::nal::{ParameterSets, VideoCodec};

use crate::hub::{Claimed, HubHandle};
use crate::sound::{self, Outlet, SoundThreads, Voice};
use crate::stats::Counters;
use crate::unit::Config;

/// See the module.
pub(crate) struct Source {
    id: u64,
    hub: HubHandle,
    outlet: Outlet,
    counters: Arc<Counters>,
    sounds: Arc<SoundThreads>,
    assembler: Assembler,
    assembled: Assembled,
    sets: Option<ParameterSets>,
    track: Option<Arc<VideoTrack>>,
    voice: Option<Voice>,
    aac: Option<(AudioSpecificConfig, SampleClock)>,
    arrived: bool,
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
        let generation = claimed.stream.next_generation();
        let outlet = Outlet {
            stream: claimed.stream,
            epoch,
            generation: Arc::new(AtomicU64::new(generation)),
            base_90k: claimed.base_90k + sound::LEAD_90K,
            counters: Arc::clone(&counters),
        };
        Self {
            id: claimed.source,
            hub,
            outlet,
            counters,
            sounds,
            assembled: assembler.counters(),
            assembler,
            sets: None,
            track: None,
            voice: None,
            aac: None,
            arrived: false,
        }
    }

    /// Takes a packet that arrived at `arrival`.
    pub(crate) fn packet(&mut self, packet: SharedPacket, arrival: Instant) {
        self.outlet.stream.ring.touch();
        let frame = self.assembler.push(packet, arrival);
        let now = self.assembler.counters();
        self.counters.frames_with_gap.add(
            now.sequence_gaps - self.assembled.sequence_gaps + now.dropped_frames
                - self.assembled.dropped_frames,
        );
        self.assembled = now;
        match frame {
            Some(frame) if frame.kind == FrameKind::Video => self.picture(frame),
            Some(frame) if frame.kind == FrameKind::Audio => self.sound(frame),
            _ => {}
        }
    }

    fn picture(&mut self, frame: Frame) {
        let codec = match frame.payload_type {
            PayloadType::H264 => VideoCodec::H264,
            PayloadType::H265 => VideoCodec::H265,
            _ => return self.counters.frames_unsupported.one(),
        };
        if self.sets.as_ref().is_none_or(|sets| sets.codec() != codec) {
            self.sets = Some(ParameterSets::new(codec));
        }
        if let Some(sets) = &mut self.sets
            && sets.update(&frame.data)
            && let Some(track) = VideoTrack::new(sets)
            && self.track.as_deref() != Some(&track)
            && self.track.replace(Arc::new(track)).is_some()
        {
            self.outlet.generation.store(self.outlet.stream.next_generation(), Ordering::Relaxed);
        }
        // Until the first key frame, and after a loss until the next, a decoder would show rubbish.
        let Some(track) = self.track.as_ref().filter(|_| !frame.gap && (self.arrived || frame.key)) else {
            return;
        };
        let config = Config::Video(Arc::clone(track));
        self.outlet.push(frame.timestamp_ms * 90, 0, frame.key, config, frame.data);
        if !self.arrived {
            self.arrived = true;
            self.counters.sources.one();
            self.hub.arrived(self.outlet.stream.key, self.id);
        }
    }

    fn sound(&mut self, frame: Frame) {
        match frame.payload_type {
            PayloadType::AAC | PayloadType::AAC_LC => self.aac(&frame),
            payload_type if sound::is_decodable(payload_type) => {
                if self.voice.is_none() {
                    self.outlet.stream.ring.announce_audio(sound::config());
                    // The encoder's times hold the lead already.
                    let base_90k = self.outlet.base_90k - sound::LEAD_90K;
                    self.voice = self.sounds.open(Outlet { base_90k, ..self.outlet.clone() });
                }
                let taken = self
                    .voice
                    .as_ref()
                    .is_some_and(|voice| voice.sound(payload_type, frame.timestamp_ms, frame.data));
                if !taken {
                    self.counters.audio_dropped.one();
                }
            }
            _ => self.counters.frames_unsupported.one(),
        }
    }

    fn aac(&mut self, frame: &Frame) {
        for adts in adts_frames(&frame.data) {
            let Ok(adts) = adts else { return self.counters.audio_dropped.one() };
            if self.aac.as_ref().is_none_or(|(config, _)| *config != adts.config) {
                self.outlet.stream.ring.announce_audio(adts.config);
                self.aac = Some((adts.config, SampleClock::new(adts.config.sample_rate_hz)));
            }
            let Some((config, clock)) = &mut self.aac else { return };
            let at_90k = clock.stamp(frame.timestamp_ms, protocol::aac::SAMPLES_PER_FRAME);
            let data = frame.data.slice_ref(adts.data);
            self.outlet.push(at_90k, config.frame_duration_90k(), false, Config::Audio(*config), data);
        }
    }

    /// Puts what is held back into the ring, then tells the hub that the source is gone.
    pub(crate) async fn finish(self) {
        if let Some(voice) = self.voice {
            voice.finish().await;
        }
        self.hub.lost(self.outlet.stream.key, self.id);
    }
}
