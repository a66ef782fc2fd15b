//! MPEG transport streams for HLS segments (ISO/IEC 13818-1): PAT, PMT, PES, PCR.
//!
//! Knows no playlists. Segments of one stream, one after the other, are one valid transport stream.

use crate::media::{Sample, Track, Tracks, VideoTrack};
use crate::nal::{SetKind, VideoCodec, append_annexb, nal_units};

/// Length of a transport packet.
pub const PACKET_BYTES: usize = 188;

/// PES stamps run this much ahead of the PCR, so that nothing is late: half a second.
const STAMP_AHEAD_90K: u64 = 45_000;

const PAT_PID: u16 = 0;
const PMT_PID: u16 = 0x1000;
const VIDEO_PID: u16 = 0x0100;
const AUDIO_PID: u16 = 0x0101;

const SYNC_BYTE: u8 = 0x47;
const HEADER_BYTES: usize = 4;

const STREAM_TYPE_AAC_ADTS: u8 = 0x0F;
const STREAM_ID_AUDIO: u8 = 0xC0;
const STREAM_ID_VIDEO: u8 = 0xE0;

/// Writes one stream's transport packets; continuity counters run on from segment to segment.
#[derive(Clone, Debug)]
pub struct Muxer {
    tracks: Tracks,
    /// version_number of the PMT, 5 bits; rises with each change.
    version: u8,
    pat_counter: Counter,
    pmt_counter: Counter,
    video_counter: Counter,
    audio_counter: Counter,
    pes: Vec<u8>,
}

/// continuity_counter of one PID: four bits.
#[derive(Clone, Copy, Debug, Default)]
struct Counter(u8);

impl Counter {
    fn next(&mut self) -> u8 {
        let value = self.0;
        self.0 = (value + 1) & 0x0F;
        value
    }
}

/// What goes into the adaptation field of a PES's first packet.
#[derive(Clone, Copy)]
struct Start {
    pcr_90k: Option<u64>,
    random_access: bool,
}

impl Muxer {
    /// For these tracks.
    pub fn new(tracks: Tracks) -> Self {
        Self {
            tracks,
            version: 0,
            pat_counter: Counter::default(),
            pmt_counter: Counter::default(),
            video_counter: Counter::default(),
            audio_counter: Counter::default(),
            pes: Vec::new(),
        }
    }

    /// Begins a segment: appends PAT and PMT.
    pub fn begin_segment(&mut self, out: &mut Vec<u8>) {
        // transport stream 1, program 1 at the PMT's PID
        let [pid_high, pid_low] = PMT_PID.to_be_bytes();
        let pat = [0x00, 0x01, 0xC1, 0, 0, 0x00, 0x01, 0xE0 | pid_high, pid_low];
        table(PAT_PID, self.pat_counter.next(), 0x00, &pat, out);
        let video = self.tracks.video.as_ref().map(|track| (stream_type(track.codec), VIDEO_PID));
        let audio = self.tracks.audio.map(|_| (STREAM_TYPE_AAC_ADTS, AUDIO_PID));
        let pcr_pid = if video.is_some() { VIDEO_PID } else { AUDIO_PID };
        let [pcr_high, pcr_low] = pcr_pid.to_be_bytes();
        let mut pmt = vec![0x00, 0x01, 0xC1 | self.version << 1, 0, 0, 0xE0 | pcr_high, pcr_low, 0xF0, 0x00];
        for (stream_type, pid) in video.into_iter().chain(audio) {
            let [high, low] = pid.to_be_bytes();
            pmt.extend_from_slice(&[stream_type, 0xE0 | high, low, 0xF0, 0x00]);
        }
        table(PMT_PID, self.pmt_counter.next(), 0x02, &pmt, out);
    }

    /// Takes new tracks after a codec change; [`Muxer::begin_segment`] must follow.
    pub fn change(&mut self, tracks: Tracks) {
        if tracks != self.tracks {
            self.version = (self.version + 1) & 0x1F;
            self.tracks = tracks;
        }
    }

    /// Appends one sample as a PES. A sample of a track that is not there, one without a picture and an AAC
    /// frame too long for ADTS is left out.
    pub fn sample(&mut self, sample: &Sample<'_>, out: &mut Vec<u8>) {
        self.pes.clear();
        let start = match sample.track {
            Track::Video => {
                let Some(track) = &self.tracks.video else { return };
                if track.sample_units(sample.data).next().is_none() {
                    return;
                }
                // length 0: unbounded, allowed for video
                pes_header(STREAM_ID_VIDEO, 0, sample, &mut self.pes);
                access_unit(track, sample, &mut self.pes);
                Start { pcr_90k: Some(sample.dts_90k), random_access: sample.key }
            }
            Track::Audio => {
                let Some(config) = &self.tracks.audio else { return };
                let Some(header) = config.adts_header(sample.data.len()) else { return };
                let length = header.len() + sample.data.len();
                pes_header(STREAM_ID_AUDIO, length, sample, &mut self.pes);
                self.pes.extend_from_slice(&header);
                self.pes.extend_from_slice(sample.data);
                let is_clock = self.tracks.video.is_none();
                Start { pcr_90k: is_clock.then_some(sample.dts_90k), random_access: true }
            }
        };
        match sample.track {
            Track::Video => packets(VIDEO_PID, &mut self.video_counter, start, &self.pes, out),
            Track::Audio => packets(AUDIO_PID, &mut self.audio_counter, start, &self.pes, out),
        }
    }
}

fn stream_type(codec: VideoCodec) -> u8 {
    match codec {
        VideoCodec::H264 => 0x1B,
        VideoCodec::H265 => 0x24,
    }
}

/// An access unit as HLS wants it: a delimiter first, and parameter sets before each key frame.
fn access_unit(track: &VideoTrack, sample: &Sample<'_>, out: &mut Vec<u8>) {
    append_annexb(track.codec.delimiter(), out);
    let has_sets = nal_units(sample.data).any(|unit| track.codec.is_set(unit, SetKind::Sequence));
    if sample.key && !has_sets {
        track.parameter_sets.units().for_each(|unit| append_annexb(unit, out));
    }
    nal_units(sample.data)
        .filter(|unit| !track.codec.is_delimiter(unit))
        .for_each(|unit| append_annexb(unit, out));
}

/// A PES header with PTS, and DTS where it differs. `data_bytes` 0, or too long for the field: unbounded.
fn pes_header(stream_id: u8, data_bytes: usize, sample: &Sample<'_>, out: &mut Vec<u8>) {
    let pts = sample.pts_90k.wrapping_add(STAMP_AHEAD_90K);
    let dts = sample.dts_90k.wrapping_add(STAMP_AHEAD_90K);
    let (flags, stamps_bytes) = if pts == dts { (0x80, 5) } else { (0xC0, 10) };
    let length = match data_bytes {
        0 => 0,
        _ => u16::try_from(data_bytes + 3 + stamps_bytes).unwrap_or(0),
    };
    out.extend_from_slice(&[0, 0, 1, stream_id]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0x84, flags, stamps_bytes as u8]);
    if pts == dts {
        stamp(0x20, pts, out);
    } else {
        stamp(0x30, pts, out);
        stamp(0x10, dts, out);
    }
}

/// A 33-bit stamp behind a four-bit prefix, in five bytes with marker bits.
fn stamp(prefix: u8, value_90k: u64, out: &mut Vec<u8>) {
    out.push(prefix | (value_90k >> 29) as u8 & 0x0E | 1);
    out.push((value_90k >> 22) as u8);
    out.push((value_90k >> 14) as u8 | 1);
    out.push((value_90k >> 7) as u8);
    out.push((value_90k << 1) as u8 | 1);
}

/// Cuts a PES into transport packets; the last is filled up in its adaptation field.
fn packets(pid: u16, counter: &mut Counter, start: Start, pes: &[u8], out: &mut Vec<u8>) {
    let mut rest = pes;
    let mut is_first = true;
    while !rest.is_empty() {
        let start = if is_first { start } else { Start { pcr_90k: None, random_access: false } };
        let fields_bytes = match start {
            Start { pcr_90k: Some(_), .. } => 8,
            Start { random_access: true, .. } => 2,
            _ => 0,
        };
        let room = PACKET_BYTES - HEADER_BYTES - fields_bytes;
        let (payload, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
        let adaptation_bytes = PACKET_BYTES - HEADER_BYTES - payload.len();
        let [pid_high, pid_low] = pid.to_be_bytes();
        let control = if adaptation_bytes > 0 { 0x30 } else { 0x10 };
        let unit_start = if is_first { 0x40 } else { 0 };
        out.extend_from_slice(&[SYNC_BYTE, unit_start | pid_high, pid_low, control | counter.next()]);
        adaptation_field(start, adaptation_bytes, out);
        out.extend_from_slice(payload);
        rest = later;
        is_first = false;
    }
}

/// An adaptation field of exactly `bytes`, its length byte included; 0: none.
fn adaptation_field(start: Start, bytes: usize, out: &mut Vec<u8>) {
    let end = out.len() + bytes;
    if bytes == 0 {
        return;
    }
    // at most 183
    out.push((bytes - 1) as u8);
    if bytes > 1 {
        out.push(u8::from(start.random_access) << 6 | u8::from(start.pcr_90k.is_some()) << 4);
        if let Some(pcr_90k) = start.pcr_90k {
            // 33 bits of 90 kHz, six reserved bits, nine bits of 27 MHz left at 0
            let [.., a, b, c, d, e, f] = ((pcr_90k & 0x1_FFFF_FFFF) << 15 | 0x7E00).to_be_bytes();
            out.extend_from_slice(&[a, b, c, d, e, f]);
        }
    }
    out.resize(end, 0xFF);
}

/// A table that fits one packet: pointer, section, CRC, filled up with 0xFF.
fn table(pid: u16, counter: u8, table_id: u8, body: &[u8], out: &mut Vec<u8>) {
    let end = out.len() + PACKET_BYTES;
    let [pid_high, pid_low] = pid.to_be_bytes();
    out.extend_from_slice(&[SYNC_BYTE, 0x40 | pid_high, pid_low, 0x10 | counter, 0]);
    // a PMT of two tracks has 23 bytes here
    let [length_high, length_low] = (body.len() as u16 + 4).to_be_bytes();
    let mut section = vec![table_id, 0xB0 | length_high, length_low];
    section.extend_from_slice(body);
    out.extend_from_slice(&section);
    out.extend_from_slice(&crc32(&section).to_be_bytes());
    out.resize(end, 0xFF);
}

/// CRC-32 of ISO/IEC 13818-1 annex A: polynomial 0x04C11DB7, start all ones, highest bit first.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aac::AudioSpecificConfig;

    #[test]
    fn crc_of_a_known_pat() {
        let pat = hex::decode("00b00d0001c100000001f000").unwrap();
        assert_eq!(crc32(&pat), 0x2AB1_04B2);
    }

    #[test]
    fn every_length_fills_whole_packets_and_counters_run_on() {
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut muxer = Muxer::new(tracks);
        let mut counter = 0;
        for length in 1..800 {
            let mut out = Vec::new();
            muxer.begin_segment(&mut out);
            muxer.sample(&Sample::audio(1000, 0, &vec![7; length]), &mut out);
            assert_eq!(out.len() % PACKET_BYTES, 0);
            for packet in out.chunks(PACKET_BYTES).skip(2) {
                assert_eq!((packet[0], packet[3] & 0x0F), (SYNC_BYTE, counter));
                counter = (counter + 1) & 0x0F;
            }
            let payload: Vec<u8> = out.chunks(PACKET_BYTES).skip(2).flat_map(payload).copied().collect();
            assert_eq!(payload.len(), 14 + 7 + length);
            assert!(payload.ends_with(&vec![7; length]));
        }
    }

    fn payload(packet: &[u8]) -> &[u8] {
        if packet[3] & 0x20 == 0 { &packet[4..] } else { &packet[5 + usize::from(packet[4])..] }
    }

    #[test]
    fn an_aac_frame_too_long_for_adts_is_left_out() {
        let tracks = Tracks { video: None, audio: AudioSpecificConfig::lc(8_000, 1) };
        let mut out = Vec::new();
        Muxer::new(tracks).sample(&Sample::audio(0, 0, &[0; 9000]), &mut out);
        assert!(out.is_empty());
    }
}
