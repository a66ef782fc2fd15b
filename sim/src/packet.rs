//! JT/T 1078-2016 stream packets (table 19), written as strictly as the standard wants: one platform ignored a sender
//! whose first byte was not 0x81 or whose last packet of a frame lacked the M bit.

const MAGIC: [u8; 4] = *b"01cd";
const FLAGS: u8 = 0x81;
const BODY_MAX: usize = 950;

/// Payload types.
pub(crate) const H264: u8 = 98;
pub(crate) const G711A: u8 = 6;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A picture that stands alone, or one that does not.
    Video {
        /// Whether it stands alone.
        key: bool,
        /// Milliseconds since the last picture that stands alone.
        since_key_ms: u16,
        /// Milliseconds since the last picture.
        since_last_ms: u16,
    },
    /// Sound.
    Audio,
}

/// Cuts the frames of one channel into packets.
#[derive(Debug)]
pub(crate) struct Packets {
    sim: Vec<u8>,
    channel: u8,
    sequence: u16,
}

impl Packets {
    pub(crate) fn new(sim: Vec<u8>, channel: u8) -> Self {
        Self { sim, channel, sequence: 0 }
    }

    /// Appends the packets of one frame.
    pub(crate) fn put(&mut self, frame: Frame, timestamp_ms: u64, data: &[u8], out: &mut Vec<u8>) {
        let (payload_type, data_type) = match frame {
            Frame::Video { key: true, .. } => (H264, 0),
            Frame::Video { key: false, .. } => (H264, 1),
            Frame::Audio => (G711A, 3),
        };
        let count = data.len().div_ceil(BODY_MAX);
        for (index, body) in data.chunks(BODY_MAX).enumerate() {
            let is_last = index + 1 == count;
            let part = match (index, is_last) {
                (0, true) => 0,
                (0, false) => 1,
                (_, true) => 2,
                (_, false) => 3,
            };
            out.extend(MAGIC);
            out.extend([FLAGS, u8::from(is_last) << 7 | payload_type]);
            out.extend(self.sequence.to_be_bytes());
            out.extend(&self.sim);
            out.extend([self.channel, data_type << 4 | part]);
            out.extend(timestamp_ms.to_be_bytes());
            if let Frame::Video { since_key_ms, since_last_ms, .. } = frame {
                out.extend(since_key_ms.to_be_bytes());
                out.extend(since_last_ms.to_be_bytes());
            }
            out.extend((body.len() as u16).to_be_bytes());
            out.extend(body);
            self.sequence = self.sequence.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_sound_frame_as_a_third_party_writes_it() {
        // jt1078.md, byte-level example: G.711A, sequence 0xabcd, channel 2, three bytes
        let mut packets = Packets::new(hex::decode("013800138000").unwrap(), 2);
        packets.sequence = 0xabcd;
        let mut out = Vec::new();
        packets.put(Frame::Audio, 0x019f_ebab_4095, &[0xd5, 0xc7, 0xfa], &mut out);
        assert_eq!(hex::encode(out), "303163648186abcd01380013800002300000019febab40950003d5c7fa");
    }

    #[test]
    fn a_long_picture_is_first_middle_last() {
        let mut packets = Packets::new(vec![0; 10], 1);
        let mut out = Vec::new();
        let frame = Frame::Video { key: true, since_key_ms: 1_000, since_last_ms: 66 };
        packets.put(frame, 5, &[7; 2_000], &mut out);
        let header = 34;
        let starts = [0, header + 950, 2 * (header + 950)];
        let parts: Vec<_> = starts.map(|at| (out[at + 5], out[at + 19], out[at + 7])).into();
        assert_eq!(parts, [(98, 0x01, 0), (98, 0x03, 1), (0xe2, 0x02, 2)]);
        assert_eq!(out.len(), 3 * header + 2_000);
    }
}
