//! The JT/T 1078 vectors of several public sources against the codec, all of them.
//!
//! What a vector expects is compared field by field: `names.json` says which of our facts each of its names
//! means, and a name that is not there fails. Every vector is written again and must be the same bytes, unless
//! `deviations.json` names it with a reason. What is not compared stands in `skips.json` with a reason. A new
//! deviation or skip fails, and so does a recorded one, or a name, that is not needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "jt1078/facts.rs"]
mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use bytes::BytesMut;
use facts::Facts;
use protocol::jt808::reassembly::Reassembled;
use protocol::jt808::{Deframer, Edition, Frame, FrameSettings, Reassembler, ReassemblySettings, frame};
use protocol::jt1078::IdLength;
use protocol::jt1078::signalling::RecordingList;
use serde::Deserialize;
use serde_json::{Value, json};

const FILE: &str = "jt1078-shared.json";

#[derive(Deserialize)]
struct Vector {
    name: String,
    hex: String,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Expect {
    /// A stream packet from the magic on.
    Rtp {
        #[serde(flatten)]
        packet: BTreeMap<String, Value>,
    },
    /// A whole frame, escaped.
    Jt808Frame { header: Value, body: Value },
    /// Whole frames one after the other.
    Jt808Multipart {
        #[serde(flatten)]
        message: BTreeMap<String, Value>,
    },
    /// A body without frame.
    Jt808Body { msg_id: String, body: Value },
}

/// By section (a message number, "header", "stream packet", "multipart"): our fact for each expected name.
type Names = BTreeMap<String, BTreeMap<String, String>>;

struct Walk<'a> {
    names: &'a Names,
    /// Reasons by vector.
    deviations: &'a BTreeMap<String, String>,
    /// Reasons by vector and expected name.
    skips: &'a BTreeMap<String, BTreeMap<String, String>>,
    used_names: BTreeSet<(String, String)>,
    compared_vectors: BTreeSet<String>,
    compared: usize,
    reencoded: usize,
    deviating: BTreeSet<String>,
    skipped: BTreeSet<(String, String)>,
    failures: Vec<String>,
}

#[test]
fn the_shared_vectors_decode_to_what_their_sources_say_and_encode_to_the_same_bytes() {
    let shared = std::env::var_os("MOTORCADE_TEST_SHARED").map(PathBuf::from);
    let shared =
        shared.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")));
    let path = shared.join("vectors").join(FILE);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return println!("skipped: {} is not there", path.display());
    };
    let vectors: Vec<Vector> = serde_json::from_str(&text).unwrap();
    let mut walk = Walk {
        names: &serde_json::from_str(include_str!("jt1078/names.json")).unwrap(),
        deviations: &serde_json::from_str(include_str!("jt1078/deviations.json")).unwrap(),
        skips: &serde_json::from_str(include_str!("jt1078/skips.json")).unwrap(),
        used_names: BTreeSet::new(),
        compared_vectors: BTreeSet::new(),
        compared: 0,
        reencoded: 0,
        deviating: BTreeSet::new(),
        skipped: BTreeSet::new(),
        failures: Vec::new(),
    };
    for vector in &vectors {
        if let Err(failure) = walk.vector(vector) {
            walk.failures.push(format!("{}: {failure}", vector.name));
        }
    }
    walk.check_records();

    println!("{FILE}: {} vectors", vectors.len());
    println!("  compared    {} facts in {} vectors", walk.compared, walk.compared_vectors.len());
    println!("  re-encoded  {} byte for byte", walk.reencoded);
    println!("  deviating   {}", walk.deviating.len());
    println!("  skipped     {}", walk.skipped.len());
    assert!(walk.failures.is_empty(), "{} failures:\n{}", walk.failures.len(), walk.failures.join("\n"));
}

impl Walk<'_> {
    fn vector(&mut self, vector: &Vector) -> Result<(), String> {
        let bytes = hex::decode(&vector.hex).unwrap();
        match &vector.expect {
            Expect::Rtp { packet } => {
                let id_length = match packet["sim_len"].as_u64() {
                    Some(6) => IdLength::Six,
                    Some(10) => IdLength::Ten,
                    other => return Err(format!("an id of {other:?} bytes")),
                };
                let (facts, again) = facts::of_packet(&bytes, id_length)?;
                self.compare(vector, "stream packet", &json!(packet), &facts);
                self.same(vector, &again, &bytes);
            }
            Expect::Jt808Body { msg_id, body } => {
                let (facts, again) = facts::of_body(message_number(msg_id), &bytes)?;
                self.compare(vector, msg_id, body, &facts);
                self.same(vector, &again, &bytes);
            }
            Expect::Jt808Frame { header, body } => {
                let frames = frames(&bytes)?;
                let [frame] = &frames[..] else { return Err(format!("{} frames", frames.len())) };
                self.compare(vector, "header", header, &of_header(frame));
                let (facts, body_again) = facts::of_body(frame.header.id, &frame.body)?;
                self.compare(vector, header["msg_id"].as_str().unwrap(), body, &facts);
                let mut again = Vec::new();
                frame::encode(&frame.header, &body_again, &mut again);
                self.same(vector, &again, &bytes);
            }
            Expect::Jt808Multipart { message } => {
                let frames = frames(&bytes)?;
                let mut again = Vec::new();
                frames.iter().for_each(|frame| frame::encode(&frame.header, &frame.body, &mut again));
                let whole = reassembled(&frames)?;
                let (_, body_again) = facts::of_body(whole.header.id, &whole.body)?;
                self.compare(vector, "multipart", &json!(message), &of_list(&frames, &whole)?);
                if body_again != whole.body {
                    self.failures.push(format!("{}: the body is written differently", vector.name));
                }
                self.same(vector, &again, &bytes);
            }
        }
        Ok(())
    }

    fn compare(&mut self, vector: &Vector, section: &str, expected: &Value, facts: &Facts) {
        let mut wanted = Vec::new();
        flatten(String::new(), expected, &mut wanted);
        self.compared_vectors.insert(vector.name.clone());
        for (path, value) in wanted {
            let (pattern, indexes) = pattern(&path);
            let Some(name) = self.names.get(section).and_then(|names| names.get(&pattern)) else {
                self.failures.push(format!("{}: {section}: no name for {pattern}", vector.name));
                continue;
            };
            self.used_names.insert((section.to_owned(), pattern));
            if self.skips.get(&vector.name).is_some_and(|skips| skips.contains_key(&path)) {
                self.skipped.insert((vector.name.clone(), path));
                continue;
            }
            let name = indexes.iter().fold(name.clone(), |name, index| name.replacen('#', index, 1));
            let got = facts.find(&name);
            if got != Some(&value) {
                let failure = format!("{}: {section}: {path} is {value}, {name} is {got:?}", vector.name);
                self.failures.push(failure);
            }
            self.compared += 1;
        }
    }

    fn same(&mut self, vector: &Vector, again: &[u8], bytes: &[u8]) {
        if again == bytes {
            self.reencoded += 1;
            return;
        }
        self.deviating.insert(vector.name.clone());
        if !self.deviations.contains_key(&vector.name) {
            self.failures.push(format!("{}: new deviation: {}", vector.name, hex::encode(again)));
        }
    }

    /// Nothing is recorded that is not needed.
    fn check_records(&mut self) {
        for name in self.deviations.keys().filter(|name| !self.deviating.contains(*name)) {
            self.failures.push(format!("{name}: unused deviation"));
        }
        for (vector, skips) in self.skips {
            for path in
                skips.keys().filter(|path| !self.skipped.contains(&(vector.clone(), path.to_string())))
            {
                self.failures.push(format!("{vector}: unused skip of {path}"));
            }
        }
        for (section, names) in self.names {
            for name in
                names.keys().filter(|name| !self.used_names.contains(&(section.clone(), name.to_string())))
            {
                self.failures.push(format!("{section}: unused name {name}"));
            }
        }
    }
}

/// The frames of `bytes`, which must hold nothing else.
fn frames(bytes: &[u8]) -> Result<Vec<Frame>, String> {
    let (mut deframer, mut input) = (Deframer::new(FrameSettings::default()), BytesMut::from(bytes));
    let frames: Result<Vec<Frame>, _> = std::iter::from_fn(|| deframer.next(&mut input)).collect();
    frames.map_err(|error| error.to_string())
}

fn reassembled(frames: &[Frame]) -> Result<Frame, String> {
    let mut reassembler = Reassembler::new(ReassemblySettings::default());
    let mut whole = None;
    for frame in frames {
        let outcome = reassembler.push(Instant::now(), frame.clone()).map_err(|error| error.to_string())?;
        if let Reassembled::Whole(frame) = outcome {
            whole = Some(frame);
        }
    }
    whole.ok_or_else(|| "a package is missing".to_owned())
}

/// The header's facts; that the frame is there says that its check byte is right.
fn of_header(frame: &Frame) -> Facts {
    let header = &frame.header;
    let mut facts = Facts::default();
    facts.put("id", format!("0x{:04X}", header.id));
    facts.put("edition", if header.edition() == Edition::V2019 { "2019" } else { "2011/2013" });
    facts.put("body_bytes", frame.declared_len);
    facts.put("packaged", header.package.is_some());
    facts.put("encrypted", header.encryption != 0);
    facts.put("checksum_ok", true);
    facts.put("version", header.version);
    facts.put("phone", header.phone.digits());
    facts.put("serial", header.serial);
    facts
}

fn of_list(frames: &[Frame], whole: &Frame) -> Result<Facts, String> {
    let list = RecordingList::decode(&whole.body).map_err(|error| error.to_string())?;
    let mut facts = Facts::default();
    facts.put("id", format!("0x{:04X}", whole.header.id));
    facts.put("frames", frames.len());
    facts.put("phone", whole.header.phone.digits());
    facts.put("first_serial", whole.header.serial);
    facts.put("reply_to", list.reply_to);
    facts.put("total", list.total);
    facts.put("sum_size_bytes", list.recordings.iter().map(|entry| u64::from(entry.size_bytes)).sum::<u64>());
    facts.put("alarms", list.recordings.iter().filter(|entry| entry.alarm != 0).count());
    let channels: BTreeSet<u8> = list.recordings.iter().map(|entry| entry.channel).collect();
    for (index, channel) in channels.into_iter().enumerate() {
        facts.put(&format!("channels[{index}]"), channel);
    }
    facts::recording(list.recordings.first().ok_or("an empty list")?, "first.", &mut facts);
    facts::recording(list.recordings.last().ok_or("an empty list")?, "last.", &mut facts);
    Ok(facts)
}

fn message_number(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// Every value within `value`, with its path: `items[3].channel`.
fn flatten(path: String, value: &Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(path, value, out);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(format!("{path}[{index}]"), value, out);
            }
        }
        _ => out.push((path, value.clone())),
    }
}

/// A path with `#` for its indexes, and the indexes.
fn pattern(path: &str) -> (String, Vec<String>) {
    let (mut pattern, mut indexes) = (String::new(), Vec::new());
    for part in path.split_inclusive('[') {
        match part.split_once(']') {
            Some((index, rest)) => {
                indexes.push(index.to_owned());
                pattern.push_str("#]");
                pattern.push_str(rest);
            }
            None => pattern.push_str(part),
        }
    }
    (pattern, indexes)
}
