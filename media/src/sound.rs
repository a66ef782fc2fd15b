//! Terminals' sound to AAC, on threads of its own: FFmpeg blocks, and sound must not hold up pictures.
//!
//! Each source has one voice, which stays on one thread. A voice that is fed faster than its thread encodes
//! loses packets, counted; the thread puts finished frames into the ring itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bytes::Bytes;
use ffmpeg::format::sample::{Sample, Type};
use ffmpeg::util::frame;
use ffmpeg::{ChannelLayout, Dictionary, Packet, codec, decoder, encoder};
use ffmpeg_next as ffmpeg;
use protocol::aac::{AudioSpecificConfig, SAMPLES_PER_FRAME};
use protocol::jt1078::{PayloadType, SampleClock};
use protocol::{adpcm, g711};
use tokio::sync::oneshot;

use crate::outlet::Outlet;

/// Samples a second of everything that is decoded here (JT/T 1078 terminals: 8 kHz mono).
const RATE_HZ: u32 = 8_000;

/// Bits a second of the AAC made: near the most that the format takes at 8 kHz mono (48 kb/s), as the sound
/// of a cabin is noise more than tone.
const BIT_RATE: usize = 32_000;

/// Packets that may wait for a thread: some seconds of sound of some dozen sources.
const QUEUE_PACKETS: usize = 1_024;

/// The AAC that every decoded sound becomes.
pub(crate) fn config() -> AudioSpecificConfig {
    AudioSpecificConfig { object_type: 2, sample_rate_hz: RATE_HZ, channels: 1 }
}

/// Whether sound of this payload type becomes AAC here.
pub(crate) fn is_decodable(payload_type: PayloadType) -> bool {
    matches!(payload_type, PayloadType::G711A | PayloadType::G711U | PayloadType::G726 | PayloadType::ADPCM)
}

/// The encoder's first frame lies this far before the first sample, 90 kHz. Pictures therefore begin as much
/// later than their source, so that no time is below 0.
pub(crate) const LEAD_90K: u64 = 11_520;

/// The codec that this FFmpeg lacks for sound.
pub(crate) fn lacking() -> Option<&'static str> {
    encoder::find(codec::Id::AAC).is_none().then_some("an AAC encoder")
}

enum Job {
    Open { voice: u64, outlet: Outlet },
    Sound { voice: u64, payload_type: PayloadType, timestamp_ms: u64, data: Bytes },
    Picture { voice: u64, timestamp_ms: u64 },
    Finish { voice: u64, done: oneshot::Sender<()> },
    Cut { voice: u64 },
}

/// The threads.
pub(crate) struct SoundThreads {
    queues: Vec<SyncSender<Job>>,
    threads: Vec<thread::JoinHandle<()>>,
    serial: AtomicU64,
}

impl SoundThreads {
    /// Starts `count` threads (at least one); they end when this and every [`Voice`] is dropped.
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        // FFmpeg writes to standard error by itself; what matters comes back as an error.
        ffmpeg::util::log::set_level(ffmpeg::util::log::Level::Quiet);
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let (queue, jobs) = sync_channel(QUEUE_PACKETS);
            threads.push(thread::Builder::new().name(format!("sound-{number}")).spawn(move || work(&jobs))?);
            queues.push(queue);
        }
        Ok(Self { queues, threads, serial: AtomicU64::new(0) })
    }

    /// Whether all of them run.
    pub(crate) fn are_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// A voice for one source; None while its thread is overloaded.
    pub(crate) fn open(&self, outlet: Outlet) -> Option<Voice> {
        let voice = self.serial.fetch_add(1, Ordering::Relaxed);
        let queue = &self.queues[usize::try_from(voice).unwrap_or(0) % self.queues.len()];
        queue.try_send(Job::Open { voice, outlet }).ok()?;
        Some(Voice { voice, queue: queue.clone() })
    }
}

/// One source's way to its thread.
pub(crate) struct Voice {
    voice: u64,
    queue: SyncSender<Job>,
}

impl Voice {
    /// Gives one packet's sound; false: the thread is overloaded and it was dropped.
    pub(crate) fn sound(&self, payload_type: PayloadType, timestamp_ms: u64, data: Bytes) -> bool {
        self.queue.try_send(Job::Sound { voice: self.voice, payload_type, timestamp_ms, data }).is_ok()
    }

    /// Tells how far the pictures are, so that silence stands in for sound that does not come.
    pub(crate) fn picture(&self, timestamp_ms: u64) {
        // While the thread is overloaded there is sound, or the next picture tells it.
        let _ = self.queue.try_send(Job::Picture { voice: self.voice, timestamp_ms });
    }

    /// Waits until everything given is in the ring.
    pub(crate) async fn finish(self) {
        let (done, finished) = oneshot::channel();
        let (queue, voice) = (self.queue, self.voice);
        // The queue may be full; waiting for room blocks, so it is done where blocking is allowed.
        let sent = tokio::task::spawn_blocking(move || queue.send(Job::Finish { voice, done }).is_ok()).await;
        if sent.unwrap_or(false) {
            let _ = finished.await;
        }
    }

    /// Ends it without a sound: what it had was silence alone.
    pub(crate) fn cut(self) {
        let (queue, voice) = (self.queue, self.voice);
        // As in `finish`: waiting for room blocks.
        tokio::task::spawn_blocking(move || queue.send(Job::Cut { voice }));
    }
}

fn work(jobs: &Receiver<Job>) {
    let mut voices: HashMap<u64, Chain> = HashMap::new();
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Open { voice, outlet } => {
                voices.insert(voice, Chain::new(outlet));
            }
            Job::Sound { voice, payload_type, timestamp_ms, data } => {
                if let Some(chain) = voices.get_mut(&voice)
                    && let Err(error) = chain.sound(payload_type, timestamp_ms, &data)
                {
                    chain.outlet.counters().audio_dropped.one();
                    tracing::debug!("sound was not encoded: {error}");
                }
            }
            Job::Picture { voice, timestamp_ms } => {
                if let Some(chain) = voices.get_mut(&voice)
                    && let Err(error) = chain.silence(timestamp_ms)
                {
                    tracing::debug!("silence was not encoded: {error}");
                }
            }
            Job::Cut { voice } => {
                voices.remove(&voice);
            }
            Job::Finish { voice, done } => {
                if let Some(mut chain) = voices.remove(&voice)
                    && let Err(error) = chain.finish()
                {
                    tracing::debug!("the end of a sound was not encoded: {error}");
                }
                // Nobody may be waiting any more.
                let _ = done.send(());
            }
        }
    }
}

/// One source's sound from packets to AAC frames.
struct Chain {
    outlet: Outlet,
    clock: SampleClock,
    g726: Option<G726>,
    encoder: Option<AacEncoder>,
}

impl Chain {
    fn new(outlet: Outlet) -> Self {
        Self { outlet, clock: SampleClock::new(RATE_HZ), g726: None, encoder: None }
    }

    fn sound(
        &mut self,
        payload_type: PayloadType,
        timestamp_ms: u64,
        data: &[u8],
    ) -> Result<(), ffmpeg::Error> {
        let mut samples = Vec::with_capacity(data.len() * 4);
        match payload_type {
            PayloadType::G711A => samples.extend(data.iter().map(|byte| g711::decode_alaw(*byte))),
            PayloadType::G711U => samples.extend(data.iter().map(|byte| g711::decode_ulaw(*byte))),
            PayloadType::ADPCM => {
                adpcm::decode(data, &mut samples);
            }
            PayloadType::G726 => self.g726(data, &mut samples)?,
            _ => return Err(ffmpeg::Error::InvalidData),
        }
        let Ok(count) = u32::try_from(samples.len()) else { return Err(ffmpeg::Error::InvalidData) };
        if count == 0 {
            return Ok(());
        }
        let Some(at_90k) = self.clock.stamp(timestamp_ms, count) else {
            self.outlet.counters().audio_dropped.one();
            return Ok(());
        };
        self.encode(at_90k, &samples)
    }

    /// Fills up what the sound lags behind a picture.
    fn silence(&mut self, timestamp_ms: u64) -> Result<(), ffmpeg::Error> {
        let Some((at_90k, samples)) = self.clock.silence(timestamp_ms, 1) else { return Ok(()) };
        // At most two seconds: longer gaps are not filled.
        self.encode(at_90k, &vec![0; usize::try_from(samples).unwrap_or(0)])
    }

    fn encode(&mut self, at_90k: u64, samples: &[i16]) -> Result<(), ffmpeg::Error> {
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(AacEncoder::new()?),
        };
        encoder.push(at_90k, samples, &mut Self::sink(&self.outlet))
    }

    fn g726(&mut self, data: &[u8], samples: &mut Vec<i16>) -> Result<(), ffmpeg::Error> {
        let bits = G726::bits(data.len());
        if self.g726.as_ref().is_none_or(|decoder| decoder.bits != bits) {
            self.g726 = Some(G726::new(bits)?);
        }
        match &mut self.g726 {
            Some(decoder) => decoder.decode(data, samples),
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<(), ffmpeg::Error> {
        match &mut self.encoder {
            Some(encoder) => encoder.finish(&mut Self::sink(&self.outlet)),
            None => Ok(()),
        }
    }

    fn sink(outlet: &Outlet) -> impl FnMut(u64, Bytes) + '_ {
        let config = config();
        move |at_90k, data| {
            outlet.sound(at_90k, config, data);
        }
    }
}

/// G.726 in the bit order of RFC 3551, which devices in the field mostly use.
struct G726 {
    bits: u8,
    decoder: decoder::Audio,
}

impl G726 {
    /// Bits a sample, from the length of a packet taken for 40 ms; nothing signals it.
    fn bits(packet_bytes: usize) -> u8 {
        match packet_bytes {
            0..=100 => 2,
            101..=140 => 3,
            141..=180 => 4,
            _ => 5,
        }
    }

    fn new(bits: u8) -> Result<Self, ffmpeg::Error> {
        let codec = decoder::find(codec::Id::ADPCM_G726LE).ok_or(ffmpeg::Error::DecoderNotFound)?;
        let mut options = Dictionary::new();
        options.set("bits_per_coded_sample", &bits.to_string());
        options.set("ar", &RATE_HZ.to_string());
        let context = codec::Context::new_with_codec(codec);
        let decoder = context.decoder().open_as_with(codec, options)?.audio()?;
        Ok(Self { bits, decoder })
    }

    fn decode(&mut self, data: &[u8], samples: &mut Vec<i16>) -> Result<(), ffmpeg::Error> {
        self.decoder.send_packet(&Packet::copy(data))?;
        let mut decoded = frame::Audio::empty();
        while self.decoder.receive_frame(&mut decoded).is_ok() {
            samples.extend_from_slice(decoded.plane::<i16>(0));
        }
        Ok(())
    }
}

/// 16-bit samples to raw AAC frames with their times.
struct AacEncoder {
    encoder: encoder::audio::Encoder,
    /// Samples that do not fill a frame yet, and the time of the first, 90 kHz.
    pending: Vec<i16>,
    pending_at_90k: u64,
    /// Times of the frames that will come out, [`LEAD_90K`] later than their samples: the encoder holds one
    /// back and begins with one of its own.
    times: VecDeque<u64>,
    samples_in: u64,
    frames_out: u64,
}

const FRAME_SAMPLES: usize = SAMPLES_PER_FRAME as usize;

/// Ticks of 90 kHz a sample; the rate divides them only nearly, so times are made from counts.
fn ticks(samples: usize) -> u64 {
    samples as u64 * 90_000 / u64::from(RATE_HZ)
}

/// A pause in the sound longer than this is not filled: the frame being built is closed with silence.
const PAUSE_90K: u64 = 9_000;

impl AacEncoder {
    fn new() -> Result<Self, ffmpeg::Error> {
        let codec = encoder::find(codec::Id::AAC).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut audio = codec::Context::new_with_codec(codec).encoder().audio()?;
        audio.set_rate(RATE_HZ.cast_signed());
        audio.set_format(Sample::F32(Type::Planar));
        audio.set_channel_layout(ChannelLayout::MONO);
        audio.set_bit_rate(BIT_RATE);
        audio.set_time_base((1, RATE_HZ.cast_signed()));
        let encoder = audio.open_as(codec)?;
        Ok(Self {
            encoder,
            pending: Vec::with_capacity(2 * FRAME_SAMPLES),
            pending_at_90k: 0,
            times: VecDeque::new(),
            samples_in: 0,
            frames_out: 0,
        })
    }

    fn push(
        &mut self,
        at_90k: u64,
        samples: &[i16],
        sink: &mut dyn FnMut(u64, Bytes),
    ) -> Result<(), ffmpeg::Error> {
        let expected = self.pending_at_90k + ticks(self.pending.len());
        if !self.pending.is_empty() && at_90k > expected + PAUSE_90K {
            self.samples_in += (FRAME_SAMPLES - self.pending.len()) as u64;
            self.pending.resize(FRAME_SAMPLES, 0);
            self.encode(sink)?;
        }
        if self.pending.is_empty() {
            self.pending_at_90k = at_90k;
        }
        self.samples_in += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        while self.pending.len() >= FRAME_SAMPLES {
            self.encode(sink)?;
        }
        Ok(())
    }

    /// Encodes the first frame of what is pending.
    fn encode(&mut self, sink: &mut dyn FnMut(u64, Bytes)) -> Result<(), ffmpeg::Error> {
        let mut input = frame::Audio::new(Sample::F32(Type::Planar), FRAME_SAMPLES, ChannelLayout::MONO);
        input.set_rate(RATE_HZ);
        let plane = input.plane_mut::<f32>(0);
        for (to, from) in plane.iter_mut().zip(&self.pending) {
            *to = f32::from(*from) / 32_768.0;
        }
        if self.times.is_empty() && self.frames_out == 0 {
            self.times.push_back(self.pending_at_90k);
        }
        self.times.push_back(self.pending_at_90k + LEAD_90K);
        self.pending.drain(..FRAME_SAMPLES);
        self.pending_at_90k += ticks(FRAME_SAMPLES);
        self.encoder.send_frame(&input)?;
        self.drain(u64::MAX, sink);
        Ok(())
    }

    fn drain(&mut self, frames_max: u64, sink: &mut dyn FnMut(u64, Bytes)) {
        let mut packet = Packet::empty();
        while self.encoder.receive_packet(&mut packet).is_ok() {
            let at_90k = self.times.pop_front().unwrap_or(self.pending_at_90k);
            if let Some(data) = packet.data()
                && self.frames_out < frames_max
            {
                sink(at_90k, Bytes::copy_from_slice(data));
                self.frames_out += 1;
            }
        }
    }

    /// Lets out what the encoder holds back, no more than there was sound for.
    fn finish(&mut self, sink: &mut dyn FnMut(u64, Bytes)) -> Result<(), ffmpeg::Error> {
        let frame = u64::from(SAMPLES_PER_FRAME);
        let frames_max = (self.samples_in + frame / 2) / frame;
        if !self.pending.is_empty() {
            self.pending.resize(FRAME_SAMPLES, 0);
            self.encode(sink)?;
        }
        self.encoder.send_eof()?;
        self.drain(frames_max, sink);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(count: usize) -> Vec<i16> {
        (0..count).map(|n| ((n as f64 * 0.35).sin() * 12_000.0) as i16).collect()
    }

    fn encode(samples: &[i16], step: usize) -> Vec<(u64, Bytes)> {
        let mut encoder = AacEncoder::new().expect("FFmpeg has AAC");
        let mut out = Vec::new();
        for (number, chunk) in samples.chunks(step).enumerate() {
            encoder
                .push(90_000 + ticks(number * step), chunk, &mut |at, data| out.push((at, data)))
                .expect("encodes");
        }
        encoder.finish(&mut |at, data| out.push((at, data))).expect("finishes");
        out
    }

    #[test]
    fn aac_lasts_as_long_as_the_sound() {
        for count in [8_960, 15_000, 34_240, 160 * 50] {
            let frames = encode(&tone(count), 160);
            let made = frames.len() * FRAME_SAMPLES;
            assert!(made.abs_diff(count) <= FRAME_SAMPLES / 2, "{made} of {count}");
            let times: Vec<_> = frames.iter().map(|(at, _)| *at).collect();
            assert_eq!(times[..3], [90_000, 90_000 + LEAD_90K, 90_000 + 2 * LEAD_90K]);
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 11_520));
        }
    }

    #[test]
    fn a_pause_moves_the_times_and_they_still_rise() {
        let mut encoder = AacEncoder::new().expect("FFmpeg has AAC");
        let mut times = Vec::new();
        for at in [0, ticks(1500), 900_000, 900_000 + ticks(1500)] {
            encoder.push(at, &tone(1500), &mut |at, _| times.push(at)).expect("encodes");
        }
        encoder.finish(&mut |at, _| times.push(at)).expect("finishes");
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        assert!(times.contains(&(900_000 + LEAD_90K)), "{times:?}");
    }

    #[test]
    fn a_silent_frame_is_silence_for_a_decoder() {
        for (rate_hz, channels) in [(8_000, 1), (16_000, 2), (44_100, 2), (48_000, 1)] {
            let config = AudioSpecificConfig::lc(rate_hz, channels).expect("a standard rate");
            let silence = config.silent_frame().expect("mono or stereo");
            let mut adts = config.adts_header(silence.len()).expect("short").to_vec();
            adts.extend_from_slice(silence);
            let codec = decoder::find(codec::Id::AAC).expect("FFmpeg has AAC");
            let mut decoder = codec::Context::new_with_codec(codec)
                .decoder()
                .open_as(codec)
                .and_then(|d| d.audio())
                .expect("opens");
            for _ in 0..3 {
                decoder.send_packet(&Packet::copy(&adts)).expect("is taken");
                let mut decoded = frame::Audio::empty();
                decoder.receive_frame(&mut decoded).expect("is a frame");
                assert_eq!((decoded.samples(), decoded.rate()), (FRAME_SAMPLES, rate_hz));
                for plane in 0..decoded.planes() {
                    assert!(decoded.plane::<f32>(plane).iter().all(|sample| *sample == 0.0));
                }
            }
        }
    }

    #[test]
    fn g726_of_each_rate_gives_40_ms() {
        for bytes in [80, 120, 160, 200] {
            let bits = G726::bits(bytes);
            let mut samples = Vec::new();
            G726::new(bits)
                .expect("FFmpeg has G.726")
                .decode(&vec![0x55; bytes], &mut samples)
                .expect("decodes");
            assert_eq!(samples.len(), 320, "{bits} bits");
        }
    }
}
