//! Framing oddities, each test named after what the device does.

use proptest::prelude::*;

use super::*;
use crate::jt808::{Edition, Phone};

/// A heartbeat of SIM 13912344323 with `serial`.
fn heartbeat(serial: u16) -> Vec<u8> {
    framed(serial, b"")
}

fn framed(serial: u16, body: &[u8]) -> Vec<u8> {
    let header = Header::new(2, Edition::V2013, Phone::short("013912344323").unwrap(), serial);
    let mut out = Vec::new();
    encode(&header, body, &mut out);
    out
}

fn read(settings: FrameSettings, stream: &[u8]) -> (Vec<Result<u16, FrameErrorKind>>, FrameCounts) {
    let mut deframer = Deframer::new(settings);
    let mut input = BytesMut::from(stream);
    let mut seen = Vec::new();
    while let Some(frame) = deframer.next(&mut input) {
        seen.push(frame.map(|frame| frame.header.serial).map_err(|error| error.kind));
    }
    (seen, deframer.counts())
}

/// What stands in `stream`: serial numbers of frames, and errors.
fn frames(stream: &[u8]) -> Vec<Result<u16, FrameErrorKind>> {
    read(FrameSettings::default(), stream).0
}

fn one(hex: &str) -> Frame {
    let mut input = BytesMut::from(&hex::decode(hex).unwrap()[..]);
    Deframer::new(FrameSettings::default()).next(&mut input).unwrap().unwrap()
}

#[test]
fn the_standards_example_of_escaping() {
    let mut escaped = Vec::new();
    escape(&[0x30, 0x7e, 0x08, 0x7d, 0x55], &mut escaped);
    assert_eq!(escaped, [0x30, 0x7d, 0x02, 0x08, 0x7d, 0x01, 0x55]);
    let mut bytes = BytesMut::from(&escaped[..]);
    assert!(unescape(&mut bytes).is_ok());
    assert_eq!(&bytes[..], [0x30, 0x7e, 0x08, 0x7d, 0x55]);
}

#[test]
fn a_body_without_escapes_is_a_slice_of_the_input() {
    let mut input = BytesMut::from(&framed(1, b"abc")[..]);
    let at = input.as_ptr();
    let frame = Deframer::new(FrameSettings::default()).next(&mut input).unwrap().unwrap();
    assert_eq!(&frame.body[..], b"abc");
    assert_eq!(frame.body.as_ptr() as usize, at as usize + 1 + 12);
}

#[test]
fn a_terminal_that_sends_noise_before_its_first_frame() {
    let stream = [b"$$\x00\x01".as_slice(), &heartbeat(1)].concat();
    assert_eq!(frames(&stream), [Err(FrameErrorKind::Noise { bytes: 4 }), Ok(1)]);
}

#[test]
fn a_terminal_that_sends_noise_between_frames() {
    let stream = [&heartbeat(1)[..], b"\r\n", &heartbeat(2)].concat();
    assert_eq!(frames(&stream), [Ok(1), Err(FrameErrorKind::Noise { bytes: 2 }), Ok(2)]);
}

#[test]
fn a_lock_device_that_sends_text_frames_on_the_same_port() {
    let stream = [b"(794104004140,1,001,BASE,2,TIME)".as_slice(), &heartbeat(1)].concat();
    assert_eq!(frames(&stream), [Err(FrameErrorKind::Noise { bytes: 32 }), Ok(1)]);
}

#[test]
fn a_terminal_that_ends_one_frame_and_begins_the_next_with_a_single_7e() {
    let mut stream = heartbeat(1);
    stream.pop();
    stream.extend(heartbeat(2));
    stream.pop();
    stream.extend(heartbeat(3));
    assert_eq!(frames(&stream), [Ok(1), Ok(2), Ok(3)]);
}

#[test]
fn a_terminal_that_repeats_its_delimiters() {
    let stream = [&[0x7e; 3][..], &heartbeat(1), &[0x7e; 4], &heartbeat(2)].concat();
    assert_eq!(frames(&stream), [Ok(1), Ok(2)]);
}

#[test]
fn a_frame_cut_in_the_middle_does_not_cost_the_next_one() {
    let cut = &framed(1, b"lost on the way")[..18];
    let checksum = |kind: &Result<u16, FrameErrorKind>| matches!(kind, Err(FrameErrorKind::Checksum { .. }));
    let stream = [cut, &heartbeat(2)].concat();
    let seen = frames(&stream);
    assert!(checksum(&seen[0]), "{seen:?}");
    assert_eq!(seen[1..], [Ok(2)]);

    // and its end alone, without an opening delimiter, in the middle of the stream
    let tail = &framed(2, b"lost on the way")[18..];
    let stream = [&heartbeat(1)[..], tail, &heartbeat(3)].concat();
    assert_eq!(frames(&stream), [Ok(1), Err(FrameErrorKind::Noise { bytes: tail.len() - 1 }), Ok(3)]);
}

#[test]
fn a_terminal_whose_checksum_is_wrong() {
    let mut broken = heartbeat(1);
    broken[10] ^= 1;
    let stream = [&broken[..], &heartbeat(2)].concat();
    let (seen, counts) = read(FrameSettings::default(), &stream);
    assert!(
        matches!(seen[..], [Err(FrameErrorKind::Checksum { carried, computed }), Ok(2)] if carried == computed ^ 1)
    );
    assert_eq!(counts, FrameCounts { frames: 1, checksum: 1, ..Default::default() });

    let lenient = FrameSettings { accept_wrong_checksum: true, ..Default::default() };
    let (seen, counts) = read(lenient, &stream);
    assert_eq!(seen.len(), 2);
    assert_eq!(counts, FrameCounts { frames: 2, wrong_checksum_accepted: 1, ..Default::default() });
}

#[test]
fn a_terminal_that_does_not_escape_a_7d() {
    let mut broken = framed(1, &[0x7d, 5]);
    let at = broken.iter().position(|byte| *byte == 0x7d).unwrap();
    broken.remove(at + 1);
    let stream = [&broken[..], &heartbeat(2)].concat();
    let (seen, counts) = read(FrameSettings::default(), &stream);
    assert_eq!(seen, [Err(FrameErrorKind::LoneEscape { at: at - 1 }), Ok(2)]);
    assert_eq!(counts.lone_escape, 1);
}

#[test]
fn a_terminal_that_does_not_escape_a_check_byte_of_7d() {
    let frame = one("7e0002000000000000067900007d7e");
    assert_eq!((frame.header.id, frame.header.phone.sim().as_str()), (2, "679"));
    // with any other check byte in its place it is broken
    let (seen, _) = read(FrameSettings::default(), &hex::decode("7e0002000000000000067a00007d7e").unwrap());
    assert_eq!(seen, [Err(FrameErrorKind::LoneEscape { at: 12 })]);
}

#[test]
fn a_terminal_that_declares_another_length_than_it_sends() {
    let mut wrong = framed(1, b"abcdef");
    wrong[4] ^= 0x03;
    let end = wrong.len() - 2;
    wrong[end] ^= 0x03;
    let (seen, counts) = read(FrameSettings::default(), &wrong);
    assert_eq!((seen, counts.wrong_length), (vec![Ok(1)], 1));
}

#[test]
fn a_terminal_that_sets_bit_14_with_the_old_header() {
    let header = Header::new(2, Edition::V2013, Phone::short("013912344323").unwrap(), 5);
    let mut stream = Vec::new();
    encode(&Header { versioned: true, ..header }, b"", &mut stream);
    let frame = one(&hex::encode(&stream));
    assert_eq!((frame.header.serial, frame.header.version, frame.length_agrees()), (5, None, true));
}

#[test]
fn a_frame_too_short_for_a_header() {
    let (seen, counts) = read(FrameSettings::default(), &[0x7e, 1, 1, 0x7e, 0x7e, 9, 0x7e]);
    assert_eq!(seen, [Err(FrameErrorKind::Short { bytes: 2 }), Err(FrameErrorKind::Short { bytes: 1 })]);
    assert_eq!(counts.short, 2);
}

#[test]
fn a_peer_that_never_sends_a_delimiter() {
    let mut deframer = Deframer::new(FrameSettings { frame_bytes_max: 64, ..Default::default() });
    let mut input = BytesMut::from(&heartbeat(1)[..]);
    assert!(deframer.next(&mut input).unwrap().is_ok());
    for round in 0..100 {
        input.extend_from_slice(&[0x55; 40]);
        while let Some(frame) = deframer.next(&mut input) {
            assert_eq!(frame.unwrap_err().kind, FrameErrorKind::Oversize { bytes_max: 64 });
        }
        assert!(input.len() <= 64, "{round}");
    }
    assert_eq!(deframer.counts().oversize, 1);
    assert_eq!(deframer.offset(), heartbeat(1).len() as u64 + 4000);
    input.extend_from_slice(&heartbeat(2));
    assert_eq!(deframer.next(&mut input).unwrap().unwrap().header.serial, 2);
}

#[test]
fn an_oversized_body_in_one_piece() {
    let settings = FrameSettings { frame_bytes_max: 64, ..Default::default() };
    let stream = [framed(1, &[0; 100]), heartbeat(2)].concat();
    let (seen, counts) = read(settings, &stream);
    assert_eq!(seen, [Err(FrameErrorKind::Oversize { bytes_max: 64 }), Ok(2)]);
    assert_eq!(counts.oversize, 1);
}

#[test]
fn a_vendor_whose_bodies_are_larger_than_the_standard_allows() {
    let settings = FrameSettings { frame_bytes_max: 16 * 1024, ..Default::default() };
    let (seen, _) = read(settings, &framed(1, &[0x11; 5000]));
    assert_eq!(seen, [Ok(1)]);
}

#[test]
fn errors_name_their_place_in_the_stream() {
    let good = heartbeat(1);
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut input = BytesMut::from(&[b"xx".as_slice(), &good, &[0x7e, 9, 9, 0x7e]].concat()[..]);
    let places: Vec<u64> = std::iter::from_fn(|| deframer.next(&mut input))
        .map(|frame| frame.map_or_else(|error| error.offset, |frame| frame.offset))
        .collect();
    assert_eq!(places, [0, 3, 2 + good.len() as u64 + 1]);
    let error = FrameError { offset: 7, kind: FrameErrorKind::Checksum { carried: 1, computed: 2 } };
    assert_eq!(error.to_string(), "at byte 7: check byte 01 instead of 02");
}

#[test]
fn a_long_message_is_split_with_consecutive_serials_across_the_wrap() {
    let header = Header::new(0x8108, Edition::V2019, Phone::long("13912344323").unwrap(), 0xffff);
    let body: Vec<u8> = (0..2500u32).map(|n| n as u8).collect();
    let mut stream = Vec::new();
    assert_eq!(encode_split(&header, &body, PACKAGE_BODY_BYTES_MAX, &mut stream), Some(3));
    let mut input = BytesMut::from(&stream[..]);
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut again = Vec::new();
    for (index, serial) in [(1, 0xffff), (2, 0), (3, 1)] {
        let frame = deframer.next(&mut input).unwrap().unwrap();
        assert_eq!(frame.header.package, Some(Package { total: 3, index }));
        assert_eq!(frame.header.serial, serial);
        again.extend_from_slice(&frame.body);
    }
    assert_eq!(again, body);
    assert_eq!(encode_split(&header, b"short", 1023, &mut stream), Some(1));
    assert_eq!(encode_split(&header, &[0; 65_536], 1, &mut stream), None);
}

fn any_header() -> impl Strategy<Value = Header> {
    let phone = prop_oneof![any::<[u8; 6]>().prop_map(Phone::Short), any::<[u8; 10]>().prop_map(Phone::Long)];
    let package = proptest::option::of((any::<u16>(), any::<u16>()));
    (any::<u16>(), phone, any::<u8>(), any::<u16>(), package, 0u8..8, any::<bool>(), any::<bool>()).prop_map(
        |(id, phone, version, serial, package, encryption, versioned, reserved)| Header {
            // 0x5501 and 0x5502 have a shorter serial
            id: id & 0x5400,
            phone,
            version: matches!(phone, Phone::Long(_)).then_some(version),
            serial,
            package: package.map(|(total, index)| Package { total, index }),
            encryption,
            versioned,
            reserved,
            short_serial: false,
        },
    )
}

proptest! {
    #[test]
    fn any_frame_comes_back(header in any_header(), body in proptest::collection::vec(any::<u8>(), 0..=1023)) {
        let mut wire = Vec::new();
        encode(&header, &body, &mut wire);
        prop_assert!(wire.len() <= FRAME_BYTES_MAX_STANDARD + 2);
        let mut input = BytesMut::from(&wire[..]);
        let frame = Deframer::new(FrameSettings::default()).next(&mut input).unwrap().unwrap();
        prop_assert_eq!(frame.header, header);
        prop_assert_eq!(&frame.body[..], &body[..]);
        prop_assert!(frame.length_agrees());
    }

    #[test]
    fn garbage_between_good_frames_costs_none_of_them(
        garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..8),
        step in 1usize..50,
    ) {
        let mut stream = Vec::new();
        for (serial, bytes) in garbage.iter().enumerate() {
            stream.extend(heartbeat(serial as u16));
            stream.extend(bytes);
        }
        stream.extend(heartbeat(garbage.len() as u16));
        let mut deframer = Deframer::new(FrameSettings::default());
        let mut input = BytesMut::new();
        let mut serials = Vec::new();
        for chunk in stream.chunks(step) {
            input.extend_from_slice(chunk);
            while let Some(frame) = deframer.next(&mut input) {
                serials.extend(frame.ok().filter(|frame| frame.body.is_empty() && frame.header.id == 2));
            }
        }
        let serials: Vec<u16> = serials.iter().map(|frame| frame.header.serial).collect();
        prop_assert_eq!(serials, (0..=garbage.len() as u16).collect::<Vec<_>>());
        prop_assert_eq!(deframer.offset() + input.len() as u64, stream.len() as u64);
    }
}
