//! A stream of bytes to packets.
//!
//! Goes by length. A body can hold the magic by chance, so the magic is searched only to find one's feet at
//! the start and after a loss of step. Knows no frames.

use bytes::{Buf, BytesMut};

use super::{Header, IdLength, MAGIC, SharedPacket};
use crate::reader::Reader;

/// Cuts one connection's bytes into packets.
///
/// Feed the read buffer to [`Splitter::split`] until it gives `None`, then read more into the same buffer;
/// it never waits for more than one longest packet (64 KiB and its header) and the next magic.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// The id length to try first.
    first_guess: IdLength,
    /// Whether the last packet ended where the next begins, so that the length in use is right.
    in_step: bool,
    settled: bool,
    skipped_bytes: u64,
}

/// What the bytes at a magic are, under one id length.
enum Candidate {
    /// A packet of this many bytes, header first.
    Fits(Header, usize),
    /// More bytes are needed to tell.
    Open,
    /// No packet.
    Refuted,
}

/// What may follow a packet for it to count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Anything: the stream is in step.
    None,
    /// The next packet's magic.
    Magic,
    /// The next packet's magic, or the end of the stream.
    MagicOrEnd,
}

impl Splitter {
    /// `hint`: the id length to expect, from the edition of the terminal's control link; it is tried first
    /// and verified, never trusted.
    pub fn new(hint: Option<IdLength>) -> Self {
        Self { first_guess: hint.unwrap_or(IdLength::Six), in_step: false, settled: false, skipped_bytes: 0 }
    }

    /// The next packet, taken off the front of `buffer` without a copy; `None`: more bytes are wanted.
    ///
    /// The first packet (and the first after a loss of step) is handed out only when the magic of a second
    /// one was seen where the first ends.
    pub fn split(&mut self, buffer: &mut BytesMut) -> Option<SharedPacket> {
        self.next_packet(buffer, Proof::Magic)
    }

    /// Like [`Splitter::split`] after the stream ended: the last packet counts when it ends where the bytes
    /// end. Bytes of a packet that never ended are skipped.
    pub fn finish(&mut self, buffer: &mut BytesMut) -> Option<SharedPacket> {
        loop {
            if let Some(packet) = self.next_packet(buffer, Proof::MagicOrEnd) {
                return Some(packet);
            }
            if buffer.is_empty() {
                return None;
            }
            self.in_step = false;
            self.skip(buffer, 1);
        }
    }

    /// The id length in use, once a packet was found.
    pub fn id_length(&self) -> Option<IdLength> {
        self.settled.then_some(self.first_guess)
    }

    /// Bytes thrown away so far because no packet was found in them.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    fn next_packet(&mut self, buffer: &mut BytesMut, at_start: Proof) -> Option<SharedPacket> {
        loop {
            if !self.seek_magic(buffer) {
                return None;
            }
            if self.in_step {
                match candidate(buffer, self.first_guess, Proof::None) {
                    Candidate::Fits(header, end) => return Some(cut(buffer, header, end)),
                    Candidate::Open => return None,
                    Candidate::Refuted => self.in_step = false,
                }
            }
            let mut open = false;
            for length in [self.first_guess, self.first_guess.other()] {
                match candidate(buffer, length, at_start) {
                    Candidate::Fits(header, end) => {
                        self.first_guess = length;
                        self.in_step = true;
                        self.settled = true;
                        return Some(cut(buffer, header, end));
                    }
                    Candidate::Open => open = true,
                    Candidate::Refuted => {}
                }
            }
            if open {
                return None;
            }
            self.skip(buffer, 1);
        }
    }

    /// Drops what precedes the next magic; whether a whole magic stands at the front now.
    fn seek_magic(&mut self, buffer: &mut BytesMut) -> bool {
        if buffer.starts_with(&MAGIC) {
            return true;
        }
        if buffer.len() < MAGIC.len() && MAGIC.starts_with(buffer) {
            return false;
        }
        self.in_step = false;
        let found = buffer.windows(MAGIC.len()).position(|window| window == MAGIC);
        // without a magic, its first bytes may still be the last ones here
        let kept = (1..MAGIC.len()).rev().find(|kept| buffer.ends_with(MAGIC.get(..*kept).unwrap_or(&MAGIC)));
        self.skip(buffer, found.unwrap_or(buffer.len() - kept.unwrap_or(0)));
        found.is_some()
    }

    fn skip(&mut self, buffer: &mut BytesMut, count: usize) {
        buffer.advance(count.min(buffer.len()));
        self.skipped_bytes += count as u64;
    }
}

fn candidate(buffer: &[u8], id_length: IdLength, proof: Proof) -> Candidate {
    let mut reader = Reader::new(buffer);
    let (header, body_bytes) = match Header::read(&mut reader, id_length) {
        Ok(read) => read,
        Err(super::PacketError::Truncated(_)) => return Candidate::Open,
        Err(_) => return Candidate::Refuted,
    };
    let end = reader.offset() + body_bytes;
    let Some(behind) = buffer.get(end..) else {
        return Candidate::Open;
    };
    match proof {
        Proof::None => Candidate::Fits(header, end),
        Proof::MagicOrEnd if behind.is_empty() => Candidate::Fits(header, end),
        _ if behind.starts_with(&MAGIC) => Candidate::Fits(header, end),
        Proof::Magic if MAGIC.starts_with(behind) => Candidate::Open,
        _ => Candidate::Refuted,
    }
}

fn cut(buffer: &mut BytesMut, header: Header, end: usize) -> SharedPacket {
    let mut packet = buffer.split_to(end);
    packet.advance(header.wire_bytes());
    SharedPacket { header, body: packet.freeze() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jt1078::{DataType, Packet, PayloadType, Sim, SubPackage};

    fn header(id_length: IdLength, sequence: u16, data_type: DataType) -> Header {
        let timed = data_type != DataType::Transparent;
        Header {
            flags: 0x81,
            marker: true,
            payload_type: PayloadType::H264,
            sequence,
            sim: match id_length {
                IdLength::Six => Sim::six([1, 0x38, 0, 0x13, 0x80, 0]),
                IdLength::Ten => Sim::ten([0, 0, 0, 0, 1, 0x38, 0, 0x13, 0x80, 0]),
            },
            channel: 1,
            data_type,
            sub_package: SubPackage::Whole,
            timestamp_ms: timed.then_some(u64::from(sequence) * 40),
            // read with the other id length this is the body length, which must not fit by chance
            since_key_ms: data_type.is_video().then_some(60_000),
            since_frame_ms: data_type.is_video().then_some(40),
        }
    }

    fn stream(id_length: IdLength, bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, body) in bodies.iter().enumerate() {
            let data_type = DataType::from_nibble(sequence as u8 % 5).unwrap();
            Packet { header: header(id_length, sequence as u16, data_type), body }.encode(&mut out);
        }
        out
    }

    fn drain(splitter: &mut Splitter, buffer: &mut BytesMut) -> Vec<SharedPacket> {
        std::iter::from_fn(|| splitter.split(buffer)).collect()
    }

    #[test]
    fn a_body_that_holds_the_magic_is_one_body() {
        let mut body = vec![1; 20];
        body.extend_from_slice(&MAGIC);
        body.extend_from_slice(&[2; 20]);
        let bytes = stream(IdLength::Six, &[body.clone(), body.clone(), body.clone()]);
        let (mut splitter, mut buffer) = (Splitter::new(None), BytesMut::from(&bytes[..]));
        let packets = drain(&mut splitter, &mut buffer);
        assert_eq!(packets.len(), 3);
        assert!(packets.iter().all(|packet| packet.body == body));
        assert_eq!(splitter.skipped_bytes(), 0);
    }

    #[test]
    fn a_wrong_hint_is_corrected() {
        for (length, hint) in [(IdLength::Six, IdLength::Ten), (IdLength::Ten, IdLength::Six)] {
            let bytes = stream(length, &vec![vec![5; 300]; 4]);
            let (mut splitter, mut buffer) = (Splitter::new(Some(hint)), BytesMut::from(&bytes[..]));
            assert_eq!(splitter.id_length(), None);
            assert_eq!(drain(&mut splitter, &mut buffer).len(), 4);
            assert_eq!(splitter.id_length(), Some(length));
            assert_eq!(splitter.skipped_bytes(), 0);
        }
    }

    #[test]
    fn the_first_packet_waits_for_the_second_magic_and_the_last_for_the_end() {
        let bytes = stream(IdLength::Six, &[vec![5; 30]]);
        let (mut splitter, mut buffer) = (Splitter::new(None), BytesMut::from(&bytes[..]));
        assert_eq!(splitter.split(&mut buffer), None);
        assert!(splitter.finish(&mut buffer).is_some());
        assert_eq!(splitter.finish(&mut buffer), None);
    }

    #[test]
    fn rubbish_between_packets_is_skipped_and_counted() {
        let one = stream(IdLength::Six, &vec![vec![5; 30]; 3]);
        let mut bytes = b"GET / HTTP/1.1 01c".to_vec();
        bytes.extend_from_slice(&one);
        bytes.extend_from_slice(b"rubbish 01cd more rubbish");
        bytes.extend_from_slice(&one);
        let (mut splitter, mut buffer) = (Splitter::new(None), BytesMut::from(&bytes[..]));
        let mut packets = drain(&mut splitter, &mut buffer);
        packets.extend(std::iter::from_fn(|| splitter.finish(&mut buffer)));
        assert_eq!(packets.len(), 6);
        assert_eq!(splitter.skipped_bytes(), 18 + 25);
    }

    #[test]
    fn an_endless_stream_of_rubbish_is_not_kept() {
        let (mut splitter, mut buffer) = (Splitter::new(None), BytesMut::new());
        for _ in 0..100 {
            buffer.extend_from_slice(&[0x30; 1000]);
            assert_eq!(splitter.split(&mut buffer), None);
            assert!(buffer.len() < MAGIC.len());
        }
    }

    #[test]
    fn data_types_that_nobody_defined_lose_step_for_one_packet() {
        let mut bytes = stream(IdLength::Six, &vec![vec![5; 30]; 4]);
        let second = bytes.len() / 4;
        let at = bytes.windows(4).enumerate().filter(|(_, w)| *w == MAGIC).nth(1).unwrap().0;
        assert!(at <= second + 12);
        bytes[at + 15] = 0x70;
        let (mut splitter, mut buffer) = (Splitter::new(None), BytesMut::from(&bytes[..]));
        let mut packets = drain(&mut splitter, &mut buffer);
        packets.extend(std::iter::from_fn(|| splitter.finish(&mut buffer)));
        assert_eq!(packets.len(), 3);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_packets(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..8),
            ten: bool,
            hint: Option<bool>,
            cuts in prop::collection::vec(1_usize..40, 1..60),
        ) {
            let length = if ten { IdLength::Ten } else { IdLength::Six };
            let hint = hint.map(|ten| if ten { IdLength::Ten } else { IdLength::Six });
            let bytes = stream(length, &bodies);
            let (mut splitter, mut buffer) = (Splitter::new(hint), BytesMut::new());
            let (mut packets, mut rest, mut cuts) = (Vec::new(), &bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                buffer.extend_from_slice(now);
                rest = later;
                packets.extend(drain(&mut splitter, &mut buffer));
            }
            packets.extend(std::iter::from_fn(|| splitter.finish(&mut buffer)));
            prop_assert_eq!(splitter.skipped_bytes(), 0);
            let got: Vec<Vec<u8>> = packets.iter().map(|packet| packet.body.to_vec()).collect();
            prop_assert_eq!(got, bodies);
            let mut again = Vec::new();
            packets.iter().for_each(|packet| packet.as_packet().encode(&mut again));
            prop_assert_eq!(again, bytes);
        }
    }
}
