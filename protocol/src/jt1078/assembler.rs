//! Packets of one (SIM, channel) to frames.

use std::time::Instant;

use bytes::Bytes;

use super::{PayloadType, SharedPacket};

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

/// One whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Picture, sound or data.
    pub kind: FrameKind,
    /// Whether a decoder can start here: verified from the NAL units, whatever the device called the frame.
    /// Always false for sound and data.
    pub key: bool,
    /// Pictures only: no key frame was seen since the stream began or since packets were lost, so a decoder
    /// would show rubbish. The key frame that ends a gap has `gap == false`. Always false for sound and data.
    pub gap: bool,
    /// Codec: the packet's own word where it fits the data type, else the terminal's 0x1003, else a guess.
    pub payload_type: PayloadType,
    /// Milliseconds since the assembler's first packet, on the device's clock as long as that runs, and never
    /// falling for pictures (see [`super::Timeline`]).
    pub timestamp_ms: u64,
    /// The device's own stamp, for logs; any base, any jumps.
    pub device_timestamp_ms: Option<u64>,
    /// Whether a HiSilicon voice header was taken off (then such a device wants it on what it is sent, too).
    pub hisilicon: bool,
    /// The coded bytes.
    pub data: Bytes,
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

/// Puts the packets of one (SIM, channel) together. Never trusts M, time stamps or the first packet.
#[derive(Debug)]
pub struct Assembler {}

impl Assembler {
    /// An empty assembler.
    pub fn new() -> Self {
        todo!()
    }

    /// Tells the codecs of the terminal's 0x1003, used where a packet's own payload type cannot be right
    /// (one Android client marks sound as H.264).
    pub fn expect(&mut self, _audio: PayloadType, _video: PayloadType) {
        todo!()
    }

    /// Takes one packet of this (SIM, channel) that arrived at `arrival`; gives the frame that it ends.
    pub fn push(&mut self, _packet: SharedPacket, _arrival: Instant) -> Option<Frame> {
        todo!()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        todo!()
    }
}

impl Default for Assembler {
    fn default() -> Self {
        Self::new()
    }
}
