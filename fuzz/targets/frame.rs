//! JT/T 808 framing: whatever comes is cut into frames and put together; what is a frame is written again and
//! read again as the same; what is sent split arrives whole.
#![no_main]

use std::time::{Duration, Instant};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use protocol::jt808::header::PACKAGE_BODY_BYTES_MAX;
use protocol::jt808::reassembly::Reassembled;
use protocol::jt808::{
    Deframer, Edition, Frame, FrameSettings, Header, Phone, Reassembler, ReassemblySettings, frame,
};

fuzz_target!(|input: &[u8]| {
    let Some((seed, stream)) = input.split_first() else { return };
    from_the_wire(usize::from(*seed) + 1, stream);
    to_the_wire(*seed, stream);
});

fn from_the_wire(read_bytes: usize, stream: &[u8]) {
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut reassembler = Reassembler::new(ReassemblySettings::default());
    let (mut buffer, mut now) = (BytesMut::new(), Instant::now());
    for read in stream.chunks(read_bytes) {
        buffer.extend_from_slice(read);
        while let Some(found) = deframer.next(&mut buffer) {
            let Ok(found) = found else { continue };
            if found.length_agrees() {
                let again = deframed(&encoded(&found.header, &found.body));
                assert_eq!(again.len(), 1);
                assert_eq!((again[0].header, &again[0].body), (found.header, &found.body));
            }
            now += Duration::from_secs(1);
            let _ = reassembler.push(now, found);
            assert!(reassembler.held_bytes() <= ReassemblySettings::default().bytes_max);
        }
        reassembler.expire(now);
    }
}

fn to_the_wire(seed: u8, body: &[u8]) {
    let edition = if seed & 1 == 0 { Edition::V2013 } else { Edition::V2019 };
    let header = Header::new(0x0200, edition, Phone::Short([1, 0x39, 0x12, 0x34, 0x56, seed]), 65_530);
    let mut wire = Vec::new();
    let package_bytes = usize::from(seed).max(16).min(PACKAGE_BODY_BYTES_MAX);
    frame::encode_split(&header, body, package_bytes, &mut wire).expect("the input is short");
    let mut reassembler = Reassembler::new(ReassemblySettings::default());
    let whole: Vec<Frame> = deframed(&wire)
        .into_iter()
        .filter_map(|frame| match reassembler.push(Instant::now(), frame) {
            Ok(Reassembled::Whole(frame)) => Some(frame),
            _ => None,
        })
        .collect();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].body, body);
    assert_eq!(whole[0].header.phone, header.phone);
}

fn encoded(header: &Header, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    frame::encode(header, body, &mut wire);
    wire
}

fn deframed(wire: &[u8]) -> Vec<Frame> {
    let (mut deframer, mut buffer) = (Deframer::new(FrameSettings::default()), BytesMut::from(wire));
    std::iter::from_fn(|| deframer.next(&mut buffer)).map(|frame| frame.expect("our own frame")).collect()
}
