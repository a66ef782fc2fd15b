//! Packets of one (SIM, channel) to frames.
//!
//! Sub-packages are concatenated and nothing else is believed: not M (never set by some), not the time
//! stamps, not that the first packet begins a frame, not that an "I frame" is one. Knows no requests.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{DataType, Header, PayloadType, SharedPacket, SubPackage, Timeline, Track, voice};
use crate::nal::{self, VideoCodec};

/// Largest frame taken: a 4K key frame stays far below; a device that never ends a frame stops here.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// What a frame is, by the device's word (data type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A picture: one access unit in Annex B.
    Video,
    /// Sound: the coded bytes of one packet, the HiSilicon voice header taken off.
    Audio,
    /// Transparent data.
    Transparent,
}

impl From<DataType> for FrameKind {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::I | DataType::P | DataType::B => Self::Video,
            DataType::Audio => Self::Audio,
            DataType::Transparent => Self::Transparent,
        }
    }
}

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Picture, sound or data.
    pub kind: FrameKind,
    /// Whether a decoder can start here: verified from the NAL units, whatever the device called the frame
    /// (for codecs whose units are not understood here, the device's word). Always false for sound and data.
    pub key: bool,
    /// Pictures only: no key frame was seen since the stream began or since packets were lost, so a decoder
    /// would show rubbish. The key frame that ends a gap has `gap == false`. Always false for sound and data.
    pub gap: bool,
    /// Codec: the packet's own word where it fits the data type, else the terminal's 0x1003, else as it came.
    pub payload_type: PayloadType,
    /// Milliseconds since the assembler's first frame, on the device's clock as long as that runs; rises
    /// from picture to picture (see [`Timeline`]). For data the time of the newest picture or sound.
    pub timestamp_ms: u64,
    /// The device's own stamp, for logs; any base, any jumps.
    pub device_timestamp_ms: Option<u64>,
    /// Whether a HiSilicon voice header was taken off (then such a device wants it on what it is sent, too).
    pub hisilicon: bool,
    /// The coded bytes; of a frame that came in one packet, a share of the read buffer.
    pub data: Bytes,
}

impl Frame {
    /// The video codec, where its NAL units are understood here.
    pub fn video_codec(&self) -> Option<VideoCodec> {
        if self.kind == FrameKind::Video { video_codec(self.payload_type) } else { None }
    }
}

/// What was counted since the assembler began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken in.
    pub packets: u64,
    /// Frames handed out.
    pub frames: u64,
    /// Times that the sequence number jumped.
    pub sequence_gaps: u64,
    /// Frames thrown away: a part missing, too long, or never ended.
    pub dropped_frames: u64,
    /// Packets thrown away: a middle or last part whose first part is not there.
    pub orphan_packets: u64,
}

/// Puts the packets of one (SIM, channel) together. Holds at most one unfinished frame of each kind, none
/// longer than [`MAX_FRAME_BYTES`].
#[derive(Debug)]
pub struct Assembler {
    video: Partial,
    audio: Partial,
    transparent: Partial,
    sequence: Sequence,
    timeline: Timeline,
    timestamp_ms: u64,
    gap: bool,
    expected_audio: Option<PayloadType>,
    expected_video: Option<PayloadType>,
    counters: Counters,
}

/// A frame that has begun.
#[derive(Debug, Default)]
struct Partial {
    first: Option<Header>,
    data: BytesMut,
}

/// The sequence numbers seen last.
///
/// The standard counts all packets of a stream together; devices that count sound and pictures apart, or
/// that never count, are let pass.
#[derive(Debug, Default)]
struct Sequence {
    any: Option<u16>,
    video: Option<u16>,
    audio: Option<u16>,
    transparent: Option<u16>,
}

impl Sequence {
    fn follows(&mut self, kind: FrameKind, sequence: u16) -> bool {
        let own = match kind {
            FrameKind::Video => &mut self.video,
            FrameKind::Audio => &mut self.audio,
            FrameKind::Transparent => &mut self.transparent,
        };
        let fits = |last: Option<u16>| last.is_none_or(|last| sequence.wrapping_sub(last) <= 1);
        let follows = fits(self.any) || (own.is_some() && fits(*own));
        *own = Some(sequence);
        self.any = Some(sequence);
        follows
    }
}

impl Assembler {
    /// An empty assembler.
    pub fn new() -> Self {
        Self {
            video: Partial::default(),
            audio: Partial::default(),
            transparent: Partial::default(),
            sequence: Sequence::default(),
            timeline: Timeline::new(),
            timestamp_ms: 0,
            gap: true,
            expected_audio: None,
            expected_video: None,
            counters: Counters::default(),
        }
    }

    /// Tells the codecs of the terminal's 0x1003, used where a packet's own payload type cannot be right
    /// (one Android client marks sound as H.264).
    pub fn expect(&mut self, audio: PayloadType, video: PayloadType) {
        self.expected_audio = Some(audio);
        self.expected_video = Some(video);
    }

    /// Takes one packet of this (SIM, channel) that arrived at `arrival`; gives the frame that it ends.
    pub fn push(&mut self, packet: SharedPacket, arrival: Instant) -> Option<Frame> {
        let SharedPacket { header, body } = packet;
        let kind = FrameKind::from(header.data_type);
        self.counters.packets += 1;
        if !self.sequence.follows(kind, header.sequence) {
            self.counters.sequence_gaps += 1;
            self.lose();
        }
        let (first, data) = self.join(kind, header, body)?;
        self.counters.frames += 1;
        Some(self.frame(kind, first, data, arrival))
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Packets were lost, nobody knows of what: unfinished frames are void, and pictures up to the next key
    /// frame lean on something that may be missing.
    fn lose(&mut self) {
        for partial in [&mut self.video, &mut self.audio, &mut self.transparent] {
            self.counters.dropped_frames += u64::from(partial.clear());
        }
        self.gap = true;
    }

    /// Adds a part; gives the header of the first part and the whole once it is there.
    fn join(&mut self, kind: FrameKind, header: Header, body: Bytes) -> Option<(Header, Bytes)> {
        let partial = match kind {
            FrameKind::Video => &mut self.video,
            FrameKind::Audio => &mut self.audio,
            FrameKind::Transparent => &mut self.transparent,
        };
        if matches!(header.sub_package, SubPackage::Whole | SubPackage::First) && partial.clear() {
            self.counters.dropped_frames += 1;
            self.gap |= kind == FrameKind::Video;
        }
        match header.sub_package {
            SubPackage::Whole => return Some((header, body)),
            SubPackage::First => partial.first = Some(header),
            SubPackage::Middle | SubPackage::Last if partial.first.is_none() => {
                self.counters.orphan_packets += 1;
                self.gap |= kind == FrameKind::Video;
                return None;
            }
            SubPackage::Middle | SubPackage::Last => {}
        }
        if partial.data.len() + body.len() > MAX_FRAME_BYTES {
            partial.clear();
            self.counters.dropped_frames += 1;
            self.gap |= kind == FrameKind::Video;
            return None;
        }
        partial.data.extend_from_slice(&body);
        if header.sub_package != SubPackage::Last {
            return None;
        }
        let first = partial.first.take()?;
        Some((first, partial.data.split().freeze()))
    }

    fn frame(&mut self, kind: FrameKind, first: Header, data: Bytes, arrival: Instant) -> Frame {
        let payload_type = self.payload_type(kind, first.payload_type);
        let track = match kind {
            FrameKind::Video => Some(Track::Video),
            FrameKind::Audio => Some(Track::Audio),
            FrameKind::Transparent => None,
        };
        if let (Some(track), Some(device_ms)) = (track, first.timestamp_ms) {
            self.timestamp_ms = self.timeline.place(track, device_ms, arrival);
        }
        let (data, hisilicon) =
            if kind == FrameKind::Audio { voice::strip(payload_type, data) } else { (data, false) };
        let mut frame = Frame {
            kind,
            key: false,
            gap: false,
            payload_type,
            timestamp_ms: self.timestamp_ms,
            device_timestamp_ms: first.timestamp_ms,
            hisilicon,
            data,
        };
        if kind == FrameKind::Video {
            frame.key = match frame.video_codec() {
                Some(codec) => nal::is_key(codec, &frame.data),
                None => first.data_type == DataType::I,
            };
            self.gap &= !frame.key;
            frame.gap = self.gap;
        }
        frame
    }

    fn payload_type(&self, kind: FrameKind, own: PayloadType) -> PayloadType {
        match kind {
            FrameKind::Video if !own.is_video() => self.expected_video.unwrap_or(own),
            FrameKind::Audio if !own.is_audio() => self.expected_audio.unwrap_or(own),
            _ => own,
        }
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}

impl Partial {
    /// Forgets what was gathered; whether there was anything.
    fn clear(&mut self) -> bool {
        self.data.clear();
        self.first.take().is_some()
    }
}

fn video_codec(payload_type: PayloadType) -> Option<VideoCodec> {
    match payload_type {
        PayloadType::H264 => Some(VideoCodec::H264),
        PayloadType::H265 => Some(VideoCodec::H265),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jt1078::Sim;

    const IDR: &[u8] = &[0, 0, 0, 1, 0x65, 1, 2, 3];
    const P: &[u8] = &[0, 0, 0, 1, 0x61, 1, 2, 3];

    fn packet(sequence: u16, data_type: DataType, sub: SubPackage, body: &[u8]) -> SharedPacket {
        SharedPacket {
            header: Header {
                flags: 0x81,
                marker: false,
                payload_type: if data_type == DataType::Audio {
                    PayloadType::G711A
                } else {
                    PayloadType::H264
                },
                sequence,
                sim: Sim::six([0; 6]),
                channel: 1,
                data_type,
                sub_package: sub,
                timestamp_ms: Some(u64::from(sequence) * 40),
                since_key_ms: None,
                since_frame_ms: None,
            },
            body: Bytes::copy_from_slice(body),
        }
    }

    fn run(packets: Vec<SharedPacket>) -> (Vec<Frame>, Counters) {
        let mut assembler = Assembler::new();
        let now = Instant::now();
        let frames = packets.into_iter().filter_map(|packet| assembler.push(packet, now)).collect();
        (frames, assembler.counters())
    }

    #[test]
    fn parts_of_a_picture_with_sound_between_them() {
        let (frames, counters) = run(vec![
            packet(9, DataType::I, SubPackage::First, &IDR[..3]),
            packet(10, DataType::Audio, SubPackage::Whole, &[0xD5; 160]),
            packet(11, DataType::I, SubPackage::Middle, &IDR[3..6]),
            packet(12, DataType::I, SubPackage::Last, &IDR[6..]),
        ]);
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].kind, frames[0].data.len()), (FrameKind::Audio, 160));
        assert_eq!((frames[1].data.as_ref(), frames[1].key, frames[1].gap), (IDR, true, false));
        assert_eq!((counters.packets, counters.frames, counters.sequence_gaps), (4, 2, 0));
    }

    #[test]
    fn the_stream_may_begin_anywhere() {
        let (frames, counters) = run(vec![
            packet(5, DataType::P, SubPackage::Last, &P[4..]),
            packet(6, DataType::P, SubPackage::Whole, P),
            packet(7, DataType::I, SubPackage::Whole, P),
            packet(8, DataType::P, SubPackage::Whole, IDR),
            packet(9, DataType::P, SubPackage::Whole, P),
        ]);
        let marks: Vec<(bool, bool)> = frames.iter().map(|frame| (frame.key, frame.gap)).collect();
        assert_eq!(marks, [(false, true), (false, true), (true, false), (false, false)]);
        assert_eq!(counters.orphan_packets, 1);
    }

    #[test]
    fn a_lost_packet_voids_its_frame_and_marks_those_up_to_the_next_key_frame() {
        let (frames, counters) = run(vec![
            packet(0, DataType::I, SubPackage::Whole, IDR),
            packet(1, DataType::P, SubPackage::First, P),
            packet(3, DataType::P, SubPackage::Last, P),
            packet(4, DataType::P, SubPackage::Whole, P),
            packet(5, DataType::I, SubPackage::Whole, IDR),
            packet(6, DataType::P, SubPackage::Whole, P),
        ]);
        let gaps: Vec<bool> = frames.iter().map(|frame| frame.gap).collect();
        assert_eq!(gaps, [false, true, false, false]);
        let wanted =
            Counters { packets: 6, frames: 4, sequence_gaps: 1, dropped_frames: 1, orphan_packets: 1 };
        assert_eq!(counters, wanted);
    }

    #[test]
    fn counting_apart_not_at_all_or_around_is_no_gap() {
        for sequences in [[7, 0, 8, 1, 9], [3, 3, 3, 3, 3], [65_534, 65_535, 0, 1, 2]] {
            let packets = sequences.into_iter().enumerate().map(|(index, sequence)| {
                let data_type = if index % 2 == 0 { DataType::I } else { DataType::Audio };
                packet(sequence, data_type, SubPackage::Whole, IDR)
            });
            let (_, counters) = run(packets.collect());
            // the first packet of a second count cannot be told from a loss
            assert!(counters.sequence_gaps <= 1, "{sequences:?}");
        }
    }

    #[test]
    fn a_frame_that_never_ends_stops_at_the_bound() {
        let mut assembler = Assembler::new();
        let part = vec![0; 60_000];
        assembler.push(packet(0, DataType::P, SubPackage::First, &part), Instant::now());
        for sequence in 1..500 {
            assembler.push(packet(sequence, DataType::P, SubPackage::Middle, &part), Instant::now());
            assert!(assembler.video.data.len() <= MAX_FRAME_BYTES);
        }
        assert_eq!(assembler.counters().dropped_frames, 1);
    }

    #[test]
    fn an_android_client_marks_sound_as_h264() {
        let mut assembler = Assembler::new();
        assembler.expect(PayloadType::ADPCM, PayloadType::H264);
        let mut sound = packet(0, DataType::Audio, SubPackage::Whole, &[0, 1, 2, 0, 9, 9, 9, 9]);
        sound.header.payload_type = PayloadType::H264;
        let frame = assembler.push(sound, Instant::now()).unwrap();
        assert_eq!((frame.payload_type, frame.hisilicon), (PayloadType::ADPCM, true));
        assert_eq!(frame.data.as_ref(), [9; 4]);
    }
}
