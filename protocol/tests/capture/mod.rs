//! The captures of `../shared/captures`: real streams of real terminals, and what is known of each.

use std::path::PathBuf;
use std::time::Instant;

use bytes::BytesMut;
use protocol::jt1078::{Assembler, Counters, Frame, IdLength, SharedPacket, Splitter};
use serde_json::Value;

/// One capture and what an independent parser counted in it.
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) facts: Value,
    pub(crate) bytes: Vec<u8>,
}

/// All captures, by name; `None` (and a line that says so) where the folder is absent.
pub(crate) fn all() -> Option<Vec<Capture>> {
    let shared = std::env::var_os("MOTORCADE_TEST_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let folder = shared.join("captures");
    let Ok(text) = std::fs::read_to_string(folder.join("captures.json")) else {
        println!("skipped: no captures at {}", folder.display());
        return None;
    };
    let facts: serde_json::Map<String, Value> =
        serde_json::from_str(&text).expect("captures.json is an object");
    let captures = facts.into_iter().map(|(name, facts)| {
        let bytes = std::fs::read(folder.join(&name)).expect("a capture named in captures.json is there");
        Capture { name, facts, bytes }
    });
    Some(captures.collect())
}

/// A capture taken through splitter and assembler in reads of 1,460 bytes.
pub(crate) struct Replay {
    pub(crate) packets: Vec<SharedPacket>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) counters: Counters,
    pub(crate) id_length: Option<IdLength>,
    pub(crate) skipped_bytes: u64,
}

impl Capture {
    pub(crate) fn replay(&self) -> Replay {
        let (mut splitter, mut assembler) = (Splitter::new(None), Assembler::new());
        let (mut buffer, mut packets, mut frames) = (BytesMut::new(), Vec::new(), Vec::new());
        let mut take = |packet: SharedPacket| {
            packets.push(packet.clone());
            frames.extend(assembler.push(packet, Instant::now()));
        };
        for read in self.bytes.chunks(1460) {
            buffer.extend_from_slice(read);
            while let Some(packet) = splitter.split(&mut buffer) {
                take(packet);
            }
        }
        while let Some(packet) = splitter.finish(&mut buffer) {
            take(packet);
        }
        Replay {
            packets,
            frames,
            counters: assembler.counters(),
            id_length: splitter.id_length(),
            skipped_bytes: splitter.skipped_bytes(),
        }
    }

    /// A number among the facts.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.facts[key].as_u64().unwrap_or_else(|| panic!("{}: no number {key}", self.name))
    }
}
