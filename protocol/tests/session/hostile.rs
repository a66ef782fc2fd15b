//! Whatever comes, a session neither panics nor answers with more than it got.

use std::time::Duration;

use proptest::prelude::*;
use protocol::jt808::Edition;
use protocol::jt808::server::{Event, Outcome};

use crate::pair::Pair;

/// The messages that a session looks into, and one that nobody knows.
const IDS: [u16; 14] = [
    0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0104, 0x0200, 0x0700, 0x0704, 0x1003, 0x1205,
    0x0f12,
];

fn framed(id: u16, attributes: u16, rest: &[u8]) -> Vec<u8> {
    let mut plain = [id.to_be_bytes(), attributes.to_be_bytes()].concat();
    plain.extend([0x01, 0x39, 0x12, 0x34, 0x56, 0x78]);
    plain.extend(rest);
    plain.push(plain.iter().fold(0, |check, byte| check ^ byte));
    let mut wire = vec![0x7e];
    for byte in plain {
        match byte {
            0x7d => wire.extend([0x7d, 1]),
            0x7e => wire.extend([0x7d, 2]),
            byte => wire.push(byte),
        }
    }
    wire.push(0x7e);
    wire
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let rest = prop::collection::vec(any::<u8>(), 0..80);
    (prop::sample::select(&IDS[..]), any::<u16>(), rest).prop_map(|(id, mut attributes, rest)| {
        // Mostly the form that the terminal uses, or everything would be another one's.
        attributes &= !(1 << 14);
        framed(id, attributes, &rest)
    })
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => frame(), 1 => prop::collection::vec(any::<u8>(), 1..200)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_terminal_that_has_logged_in(inputs in prop::collection::vec((input(), 0u64..20), 1..40)) {
        let mut pair = Pair::logged_in(Edition::V2013);
        pair.command(1, 0x8300, &[b'x'; 2500]);
        pair.command(2, 0x9003, &[]);
        pair.forget();
        let mut taken = 0;
        for (bytes, seconds) in inputs {
            taken += bytes.len();
            pair.inject(&bytes);
            // The terminal of the pair is left out: only what the platform does is looked at.
            pair.terminal.disconnected();
            pair.advance(Duration::from_secs(seconds));
            pair.store_all(Outcome::Stored);
            if pair.server_closed.is_some() {
                break;
            }
        }
        // Every frame brings one answer or two, and what time brings is bounded: resends, asks for packages.
        prop_assert!(pair.downlinks.len() < taken / 7 + 200, "{} of {taken} bytes", pair.downlinks.len());
    }

    #[test]
    fn a_stranger(inputs in prop::collection::vec(input(), 1..40)) {
        let mut pair = Pair::new(Edition::V2013);
        pair.forget();
        for bytes in inputs {
            pair.inject(&bytes);
        }
        let is_harmless =
            |e: &Event| matches!(e, Event::Trouble(_) | Event::Register { .. } | Event::Authenticate { .. });
        prop_assert!(pair.events.iter().all(is_harmless), "{:?}", pair.events);
        let is_log_in = |id: u16| matches!(id, 0x0100 | 0x0102);
        let answered: Vec<u16> =
            pair.downlinks.iter().map(|f| u16::from_be_bytes([f.body[2], f.body[3]])).collect();
        prop_assert!(answered.iter().all(|id| is_log_in(*id)), "{answered:x?}");
    }
}
