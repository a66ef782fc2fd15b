//! The terminal's way out: frames to packets, as strict as the standard (flags 0x81, M on the last part,
//! bodies of at most 950 bytes). Written apart from the way in, so that each tests the other.

use super::{DataType, MAGIC, PayloadType, Sim};

/// Longest body that the standard lets a sender put into one packet.
pub const MAX_SENT_BODY_BYTES: usize = 950;

/// V 2, P 0, X 0, CC 1: CMSV6 ignores a stream without it.
const FLAGS: u8 = 0x81;

/// Cuts one channel's frames into packets and keeps their sequence number.
#[derive(Clone, Debug)]
pub struct Packetizer {
    sim: Sim,
    channel: u8,
    sequence: u16,
    last_key_ms: Option<u64>,
    last_frame_ms: Option<u64>,
}

impl Packetizer {
    /// For the stream of `sim` and `channel`; the first packet has the sequence number 0.
    pub fn new(sim: Sim, channel: u8) -> Self {
        Self { sim, channel, sequence: 0, last_key_ms: None, last_frame_ms: None }
    }

    /// Appends the packets of one frame to `out`, back to back as a terminal sends them.
    /// `timestamp_ms`: on any base; left out on the wire for transparent data.
    pub fn frame(
        &mut self,
        data_type: DataType,
        payload_type: PayloadType,
        timestamp_ms: u64,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let since = |last: Option<u64>| {
            let passed = last.map_or(0, |last| timestamp_ms.saturating_sub(last));
            u16::try_from(passed).unwrap_or(u16::MAX)
        };
        let intervals = [since(self.last_key_ms), since(self.last_frame_ms)];
        if data_type.is_video() {
            self.last_frame_ms = Some(timestamp_ms);
            if data_type == DataType::I {
                self.last_key_ms = Some(timestamp_ms);
            }
        }
        let parts = data.len().div_ceil(MAX_SENT_BODY_BYTES).max(1);
        let mut rest = data;
        for part in 1..=parts {
            let body = rest.get(..MAX_SENT_BODY_BYTES).unwrap_or(rest);
            rest = rest.get(MAX_SENT_BODY_BYTES..).unwrap_or_default();
            let mark = match (part, parts) {
                (_, 1) => 0,
                (1, _) => 1,
                _ if part == parts => 2,
                _ => 3,
            };
            out.extend_from_slice(&MAGIC);
            out.push(FLAGS);
            out.push(if part == parts { 0x80 | payload_type.0 } else { payload_type.0 });
            out.extend_from_slice(&self.sequence.to_be_bytes());
            out.extend_from_slice(self.sim.as_bytes());
            out.push(self.channel);
            out.push(data_type.nibble() << 4 | mark);
            if data_type != DataType::Transparent {
                out.extend_from_slice(&timestamp_ms.to_be_bytes());
            }
            if data_type.is_video() {
                for interval in intervals {
                    out.extend_from_slice(&interval.to_be_bytes());
                }
            }
            // at most MAX_SENT_BODY_BYTES
            out.extend_from_slice(&(body.len() as u16).to_be_bytes());
            out.extend_from_slice(body);
            self.sequence = self.sequence.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::jt1078::{Assembler, FrameKind, IdLength, Packet, Splitter};

    #[test]
    fn a_long_frame_is_first_middle_last_with_m_on_the_last() {
        let mut packetizer = Packetizer::new(Sim::six([1, 0x38, 0, 0x13, 0x80, 0]), 2);
        let mut out = Vec::new();
        packetizer.frame(DataType::I, PayloadType::H264, 1_000, &[7; 2000], &mut out);
        packetizer.frame(DataType::P, PayloadType::H264, 1_040, &[8; 3], &mut out);
        let (mut seen, mut rest) = (Vec::new(), &out[..]);
        while !rest.is_empty() {
            let packet = Packet::parse(rest, IdLength::Six).unwrap();
            let header = packet.header;
            assert_eq!(header.flags, 0x81);
            seen.push((header.sequence, header.sub_package.nibble(), header.marker, packet.body.len()));
            rest = &rest[packet.wire_bytes()..];
        }
        assert_eq!(seen, [(0, 1, false, 950), (1, 3, false, 950), (2, 2, true, 100), (3, 0, true, 3)]);
        let last = Packet::parse(&out[out.len() - 33..], IdLength::Six).unwrap();
        assert_eq!((last.header.since_key_ms, last.header.since_frame_ms), (Some(40), Some(40)));
    }

    proptest! {
        #[test]
        fn what_a_terminal_sends_is_what_the_platform_gathers(
            frames in prop::collection::vec((0_u8..5, prop::collection::vec(any::<u8>(), 0..3000)), 1..12),
            ten: bool,
            cut in 1_usize..2000,
        ) {
            let sim = if ten { Sim::ten([9; 10]) } else { Sim::six([9; 6]) };
            let mut packetizer = Packetizer::new(sim, 5);
            let mut wire = Vec::new();
            for (index, (nibble, data)) in frames.iter().enumerate() {
                let data_type = DataType::from_nibble(*nibble).unwrap();
                packetizer.frame(data_type, PayloadType::AVS, index as u64 * 40, data, &mut wire);
            }
            let (mut splitter, mut assembler) = (Splitter::new(None), Assembler::new());
            let (mut buffer, mut gathered) = (BytesMut::new(), Vec::new());
            for chunk in wire.chunks(cut) {
                buffer.extend_from_slice(chunk);
                while let Some(packet) = splitter.split(&mut buffer) {
                    gathered.extend(assembler.push(packet, Instant::now()));
                }
            }
            while let Some(packet) = splitter.finish(&mut buffer) {
                gathered.extend(assembler.push(packet, Instant::now()));
            }
            let got: Vec<(FrameKind, Vec<u8>)> =
                gathered.iter().map(|frame| (frame.kind, frame.data.to_vec())).collect();
            let wanted: Vec<(FrameKind, Vec<u8>)> = frames
                .into_iter()
                .map(|(nibble, data)| (FrameKind::from(DataType::from_nibble(nibble).unwrap()), data))
                .collect();
            prop_assert_eq!(got, wanted);
            prop_assert_eq!(assembler.counters().sequence_gaps, 0);
            prop_assert_eq!(splitter.skipped_bytes(), 0);
        }
    }
}
