//! Bytes that are no messages: counted, skipped, and nothing after them is lost.

use protocol::jt808::Edition;
use protocol::jt808::server::{CloseReason, Trouble};

use crate::authentication::frame;
use crate::pair::Pair;

fn troubles_of(bytes: &[u8]) -> Vec<Trouble> {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(bytes);
    assert_eq!(pair.server_closed, None, "the link stays open");
    let troubles = pair.troubles();
    pair.forget();
    pair.inject(&frame(0x0002, &[]));
    assert_eq!(pair.downlink_ids(), [0x8001], "the next message is taken");
    troubles
}

#[test]
fn a_wrong_checksum() {
    let mut bytes = frame(0x0002, &[]);
    bytes[13] ^= 1;
    assert_eq!(troubles_of(&bytes), [Trouble::Checksum]);
}

#[test]
fn a_lone_escape() {
    let mut bytes = frame(0x0200, &[0; 28]);
    bytes[20] = 0x7d;
    assert_eq!(troubles_of(&bytes), [Trouble::Escape]);
}

#[test]
fn noise_between_frames() {
    assert_eq!(
        troubles_of(&[&frame(0x0002, &[])[..], b"$$noise", &frame(0x0002, &[])].concat()),
        [Trouble::Noise]
    );
}

#[test]
fn an_oversized_frame() {
    let mut bytes = vec![0x7e];
    bytes.extend([0x11; 5000]);
    bytes.push(0x7e);
    assert_eq!(troubles_of(&bytes), [Trouble::Oversized]);
}

#[test]
fn a_frame_too_short_for_a_header() {
    assert_eq!(troubles_of(&[0x7e, 1, 2, 3, 0x7e]), [Trouble::Header]);
}

#[test]
fn a_message_that_nobody_knows_is_answered_with_result_3() {
    let mut pair = Pair::logged_in(Edition::V2013);
    pair.inject(&frame(0x0f12, b"what"));
    assert_eq!(pair.troubles(), [Trouble::Unsupported { id: 0x0f12 }]);
    assert_eq!(&pair.downlinks[0].body[2..], [0x0f, 0x12, 3]);
}

#[test]
fn an_encrypted_message_is_answered_with_result_3() {
    let mut pair = Pair::logged_in(Edition::V2013);
    let mut bytes = frame(0x0200, &[0; 28]);
    bytes[3] |= 0x04; // bit 10: RSA
    let check = bytes.len() - 2;
    bytes[check] ^= 0x04;
    pair.inject(&bytes);
    assert_eq!(pair.troubles(), [Trouble::Encrypted { id: 0x0200 }]);
    assert_eq!(pair.downlinks[0].body[4], 3);
    assert_eq!(pair.reports(), []);
}

#[test]
fn bytes_without_one_good_frame_close_the_link() {
    let mut pair = Pair::logged_in(Edition::V2013);
    for _ in 0..17 {
        pair.inject(&[0x55; 4096]);
    }
    assert!(matches!(pair.server_closed, Some(CloseReason::Noise { .. })), "{:?}", pair.server_closed);
}

#[test]
fn a_good_frame_now_and_then_keeps_a_noisy_link_open() {
    let mut pair = Pair::logged_in(Edition::V2013);
    for _ in 0..40 {
        pair.inject(&[0x55; 4096]);
        pair.inject(&frame(0x0002, &[]));
        pair.inject(&frame(0x0002, &[]));
    }
    assert_eq!(pair.server_closed, None);
}

#[test]
fn the_end_of_the_stream_is_no_error() {
    let mut pair = Pair::logged_in(Edition::V2013);
    let end = pair.server.receive(pair.now, &mut bytes::BytesMut::new(), 0);
    assert_eq!(end, Err(CloseReason::Ended));
}
