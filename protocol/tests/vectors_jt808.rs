//! The JT/T 808 vectors of seven public sources against the codec.
//!
//! Each `checked` vector is decoded. What its source asserts is compared field by field: `names.json` says which
//! of our fields a source's name means, and a name that it does not know fails. Every vector is written again
//! and must be the same bytes, unless `deviations.json` names it with a reason. What is not compared stands in
//! `skips.json` with a reason. A new deviation or skip fails, and so does a recorded one that is not needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "jt808/facts.rs"]
mod facts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::BytesMut;
use facts::Facts;
use protocol::jt808::{Deframer, Edition, Frame, FrameErrorKind, FrameSettings, frame};
use serde::Deserialize;
use serde_json::Value;

const FILE: &str = "jt808-shared.json";

/// One vector, as reference section 14 describes it.
#[derive(Deserialize)]
struct Vector {
    name: String,
    edition: Option<String>,
    kind: String,
    hex: String,
    wire_hex: Option<String>,
    msg_id: Option<String>,
    checked: bool,
    expect: Option<BTreeMap<String, Value>>,
    derived: Option<Value>,
}

/// Which of our facts a source's name means. Digits in brackets are written `#`.
#[derive(Deserialize)]
struct Names {
    header: BTreeMap<String, String>,
    location: BTreeMap<String, String>,
    items: BTreeMap<String, BTreeMap<String, String>>,
    /// By traccar attribute, the facts that may carry it; a value may pick the fact, which then must be true.
    attributes: BTreeMap<String, Value>,
    /// By message id.
    body: BTreeMap<String, BTreeMap<String, String>>,
    errors: BTreeMap<String, String>,
    /// What the vectors' keeper read off the header, beside what the sources assert.
    derived: BTreeMap<String, String>,
}

/// What is not compared, and why.
#[derive(Deserialize)]
struct Skips {
    /// Body facts of messages that this codec leaves raw, by message id.
    messages: BTreeMap<String, String>,
    /// Vendor items, by item id.
    items: BTreeMap<String, String>,
    /// Attributes that vendor items carry, by vector.
    attributes: BTreeMap<String, BTreeMap<String, String>>,
    /// Bodies that are not there to be read, by vector.
    bodies: BTreeMap<String, String>,
    /// What is no JT/T 808 frame at all, by vector.
    vectors: BTreeMap<String, String>,
}

#[derive(Default)]
struct Tally {
    vectors: usize,
    unchecked: usize,
    compared_vectors: BTreeSet<String>,
    compared: usize,
    second_opinions: usize,
    rejected: usize,
    escaped_again: usize,
    reencoded: usize,
    raw: usize,
    deviating: BTreeSet<String>,
    skipped: BTreeSet<(String, String)>,
    skipped_facts: usize,
    failures: Vec<String>,
}

impl Tally {
    fn skip(&mut self, list: &str, key: String) {
        self.skipped.insert((list.to_owned(), key));
        self.skipped_facts += 1;
    }
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
    let names: Names = serde_json::from_str(include_str!("jt808/names.json")).unwrap();
    let skips: Skips = serde_json::from_str(include_str!("jt808/skips.json")).unwrap();
    let deviations: BTreeMap<String, String> =
        serde_json::from_str(include_str!("jt808/deviations.json")).unwrap();

    let mut tally = Tally::default();
    for vector in &vectors {
        tally.vectors += 1;
        match vector.checked {
            true => {
                let facts = Facts::default();
                Walk { vector, names: &names, skips: &skips, facts, tally: &mut tally }.run();
            }
            false => tally.unchecked += 1,
        }
    }
    check_records(&skips, &deviations, &mut tally);

    println!("{FILE}: {} vectors, {} of them not checked by their keeper", tally.vectors, tally.unchecked);
    println!("  compared    {} facts in {} vectors", tally.compared, tally.compared_vectors.len());
    println!("  headers     {} more facts against the independent decoder", tally.second_opinions);
    println!("  escaped     {} that their sources wrote unescaped", tally.escaped_again);
    println!("  rejected    {} as their sources want", tally.rejected);
    println!("  re-encoded  {} byte for byte, {} of them with a body left raw", tally.reencoded, tally.raw);
    println!("  deviating   {}", tally.deviating.len());
    for name in &tally.deviating {
        println!("    {name}: {}", deviations.get(name).map_or("NOT RECORDED", String::as_str));
    }
    println!("  skipped     {} facts for {} recorded reasons", tally.skipped_facts, tally.skipped.len());
    for list in ["bodies", "vectors", "items", "attributes", "messages"] {
        println!("    {list}: {}", tally.skipped.iter().filter(|(of, _)| of == list).count());
    }
    assert!(tally.failures.is_empty(), "{} failures:\n{}", tally.failures.len(), tally.failures.join("\n"));
}

/// Every deviation and skip that was met is recorded, and every recorded one was met.
fn check_records(skips: &Skips, deviations: &BTreeMap<String, String>, tally: &mut Tally) {
    let deviating = tally.deviating.clone();
    let recorded: BTreeSet<String> = deviations.keys().cloned().collect();
    for name in deviating.symmetric_difference(&recorded) {
        let trouble = if recorded.contains(name) { "unused deviation" } else { "new deviation" };
        tally.failures.push(format!("{name}: {trouble}"));
    }
    let lists = [
        ("messages", skips.messages.keys().cloned().collect::<Vec<_>>()),
        ("items", skips.items.keys().cloned().collect()),
        ("bodies", skips.bodies.keys().cloned().collect()),
        ("vectors", skips.vectors.keys().cloned().collect()),
        ("attributes", {
            let attributes = skips.attributes.iter();
            attributes
                .flat_map(|(name, facts)| facts.keys().map(move |fact| format!("{name}: {fact}")))
                .collect()
        }),
    ];
    let recorded: BTreeSet<(String, String)> = lists
        .into_iter()
        .flat_map(|(list, keys)| keys.into_iter().map(move |key| (list.to_owned(), key)))
        .collect();
    let unused: Vec<_> = recorded.difference(&tally.skipped).cloned().collect();
    tally.failures.extend(unused.iter().map(|(list, key)| format!("{key}: unused skip in {list}")));
}

/// One vector on its way through the test.
struct Walk<'a> {
    vector: &'a Vector,
    names: &'a Names,
    skips: &'a Skips,
    facts: Facts,
    tally: &'a mut Tally,
}

impl Walk<'_> {
    fn run(&mut self) {
        let vector = self.vector;
        let wire = hex::decode(vector.wire_hex.as_deref().unwrap_or(&vector.hex)).unwrap();
        if self.skips.vectors.contains_key(&vector.name) {
            return self.tally.skip("vectors", vector.name.clone());
        }
        if let Some(wanted) = vector.expect.as_ref().and_then(|expect| expect.get("error")) {
            return self.reject(wanted.as_str().unwrap(), &wire);
        }
        if vector.kind == "body" {
            let id = parse_id(vector.msg_id.as_deref().unwrap());
            let again = self.read(id, &wire, edition(vector.edition.as_deref()));
            self.bytes(&wire, &again);
            return self.assertions(id);
        }
        let wire = self.escaped(wire);
        let frame = match deframe(&wire) {
            Ok(frame) => frame,
            Err(trouble) => return self.fail(trouble),
        };
        let header = frame.header;
        self.facts = Facts::of_frame(&frame);
        self.second_opinion();
        let again = match header.package.is_some() || header.encryption != 0 {
            true => {
                match self.skips.bodies.contains_key(&vector.name) {
                    true => self.tally.skip("bodies", vector.name.clone()),
                    false => self.fail("new skip: the body is a single package or ciphertext"),
                }
                frame.body.to_vec()
            }
            false => self.read(header.id, &frame.body, header.edition()),
        };
        let mut rewritten = Vec::new();
        frame::encode(&header, &again, &mut rewritten);
        self.bytes(&wire, &rewritten);
        self.assertions(header.id);
    }

    /// Some sources feed their decoders what is unescaped already; where that left a 7e inside the frame, the
    /// bytes of the wire are made again.
    fn escaped(&mut self, wire: Vec<u8>) -> Vec<u8> {
        match wire.as_slice() {
            [0x7e, inside @ .., 0x7e] if inside.contains(&0x7e) => {
                self.tally.escaped_again += 1;
                let mut wire = vec![0x7e];
                frame::escape(inside, &mut wire);
                wire.push(0x7e);
                wire
            }
            _ => wire,
        }
    }

    /// Reads a body into facts and writes it again.
    fn read(&mut self, id: u16, body: &[u8], edition: Edition) -> Vec<u8> {
        match self.facts.read_body(id, body, edition) {
            Ok(Some(again)) => again,
            Ok(None) => {
                let id = format!("0x{id:04X}");
                match self.skips.messages.contains_key(&id) {
                    true => self.tally.skip("messages", id),
                    false => self.fail(format!("new skip: the body of {id} stays raw")),
                }
                self.tally.raw += 1;
                body.to_vec()
            }
            Err(error) => {
                self.fail(error);
                Vec::new()
            }
        }
    }

    fn bytes(&mut self, wanted: &[u8], again: &[u8]) {
        match again == wanted {
            true => self.tally.reencoded += 1,
            false => {
                println!("{}:\n  {}\n  {}", self.vector.name, hex::encode(wanted), hex::encode(again));
                self.tally.deviating.insert(self.vector.name.clone());
            }
        }
    }

    fn assertions(&mut self, id: u16) {
        let id = format!("0x{id:04X}");
        for (key, wanted) in self.vector.expect.iter().flatten() {
            match key.as_str() {
                "outcome" | "reply" | "reply_to" => {}
                "location" => self.location("location", wanted),
                "locations" => {
                    let wanted = wanted.as_array().unwrap();
                    self.compare(key, "locations", &Value::from(wanted.len()));
                    for (index, wanted) in wanted.iter().enumerate() {
                        self.location(&format!("locations[{index}]"), wanted);
                    }
                }
                "attributes" => self.attributes(wanted),
                "body" => {
                    for (name, wanted) in wanted.as_object().unwrap() {
                        self.body_fact(&id, name, wanted);
                    }
                }
                _ => match self.names.header.get(key) {
                    Some(name) => self.compare(key, name, wanted),
                    None => self.fail(format!("unmapped name {key}")),
                },
            }
        }
    }

    fn body_fact(&mut self, id: &str, name: &str, wanted: &Value) {
        // a standard field is compared, even inside a message that is otherwise left raw
        match self.names.body.get(id).and_then(|names| names.get(&pattern(name))) {
            Some(field) => self.compare(name, &with_index(field, name), wanted),
            None if self.skips.messages.contains_key(id) => self.tally.skip("messages", id.to_owned()),
            None => self.fail(format!("unmapped name {name} of {id}")),
        }
    }

    fn location(&mut self, prefix: &str, wanted: &Value) {
        for (key, wanted) in wanted.as_object().unwrap() {
            if key == "items" {
                wanted.as_object().unwrap().iter().for_each(|(item, wanted)| self.item(prefix, item, wanted));
                continue;
            }
            match self.names.location.get(key) {
                // asserted without hemispheres, and by some sources with a sign that the frame does not have
                Some(name) if name.ends_with("_abs") => {
                    let wanted = wanted.as_f64().map_or(Value::Null, |degrees| degrees.abs().into());
                    self.compare(key, &format!("{prefix}.{name}"), &wanted);
                }
                Some(name) => self.compare(key, &format!("{prefix}.{name}"), wanted),
                None => self.fail(format!("unmapped name {key} of a location")),
            }
        }
    }

    fn item(&mut self, prefix: &str, item: &str, wanted: &Value) {
        if self.skips.items.contains_key(item) {
            return self.tally.skip("items", item.to_owned());
        }
        let whole = BTreeMap::from([(String::new(), wanted.clone())]);
        let fields = wanted.as_object().map_or(whole, |fields| fields.clone().into_iter().collect());
        for (field, wanted) in fields {
            match self.names.items.get(item).and_then(|names| names.get(&pattern(&field))) {
                Some(name) => {
                    let name = format!("{prefix}.items.{item}.{}", with_index(name, &field));
                    self.compare(&field, &name, &wanted);
                }
                None => self.fail(format!("unmapped name {field} of item {item}")),
            }
        }
    }

    /// traccar's attributes: those that standard items and bits carry are compared.
    fn attributes(&mut self, wanted: &Value) {
        for (key, wanted) in wanted.as_object().unwrap() {
            let (fields, wanted) = match self.names.attributes.get(key) {
                Some(Value::Object(by_value)) => {
                    (by_value.get(wanted.as_str().unwrap_or_default()).cloned(), Value::Bool(true))
                }
                fields => (fields.cloned(), wanted.clone()),
            };
            let fields: Vec<String> =
                fields.map(|fields| serde_json::from_value(fields).unwrap()).unwrap_or_default();
            let found = fields.iter().any(|field| self.facts.ending(field).any(|value| same(&wanted, value)));
            let skips = self.skips.attributes.get(&self.vector.name);
            match (found, skips.is_some_and(|skips| skips.contains_key(key))) {
                (true, false) => self.compared(),
                (false, true) => self.tally.skip("attributes", format!("{}: {key}", self.vector.name)),
                (true, true) => self.fail(format!("{key} is skipped but could be compared")),
                (false, false) => self.fail(format!("new skip: attribute {key} = {wanted}")),
            }
        }
    }

    /// A vector whose source wants it rejected.
    fn reject(&mut self, wanted: &str, wire: &[u8]) {
        let kind = match deframe(wire) {
            Ok(_) => return self.fail(format!("accepted, should be {wanted}")),
            Err(Trouble::Frame(kind)) => match kind {
                FrameErrorKind::Noise { .. } => "noise",
                FrameErrorKind::LoneEscape { .. } => "lone escape",
                FrameErrorKind::Checksum { .. } => "checksum",
                FrameErrorKind::Oversize { .. } => "oversize",
                FrameErrorKind::Short { .. } => "short",
            },
            Err(trouble) => return self.fail(trouble),
        };
        match self.names.errors.get(wanted) {
            Some(name) if name == kind => self.tally.rejected += 1,
            Some(name) => self.fail(format!("{kind} instead of {name}")),
            None => self.fail(format!("unmapped error {wanted}")),
        }
    }

    /// The header as the vectors' keeper read it, which no source asserts, against ours.
    fn second_opinion(&mut self) {
        let derived = self.vector.derived.as_ref().and_then(Value::as_object);
        for (key, name) in &self.names.derived {
            let Some(wanted) = derived.and_then(|derived| derived.get(key)) else { continue };
            match self.facts.get(name) {
                Some(value) if same(wanted, value) => self.tally.second_opinions += 1,
                value => {
                    let trouble = format!("{key} is {value:?}, the keeper read {wanted}");
                    self.fail(trouble);
                }
            }
        }
    }

    fn compare(&mut self, key: &str, name: &str, wanted: &Value) {
        match self.facts.get(name) {
            Some(value) if same(wanted, value) => self.compared(),
            value => {
                let trouble = format!("{key}: {wanted} wanted, {name} is {value:?}");
                self.fail(trouble);
            }
        }
    }

    fn compared(&mut self) {
        self.tally.compared += 1;
        self.tally.compared_vectors.insert(self.vector.name.clone());
    }

    fn fail(&mut self, what: impl std::fmt::Display) {
        self.tally.failures.push(format!("{}: {what}", self.vector.name));
    }
}

/// What keeps a vector from being exactly one frame.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Frame(FrameErrorKind),
    #[error("{0} frames instead of one")]
    Count(usize),
}

fn deframe(wire: &[u8]) -> Result<Frame, Trouble> {
    let mut deframer = Deframer::new(FrameSettings::default());
    let mut input = BytesMut::from(wire);
    let mut frames = Vec::new();
    while let Some(frame) = deframer.next(&mut input) {
        frames.push(frame.map_err(|error| Trouble::Frame(error.kind))?);
    }
    match frames.len() {
        1 => Ok(frames.remove(0)),
        count => Err(Trouble::Count(count)),
    }
}

/// Whether a source's value and ours are the same: numbers by value, truth as 0 or 1, text with either separator
/// between date and time, hexadecimal text as the number, and digits without leading zeros.
fn same(wanted: &Value, ours: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => {
            let hex = text.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
            hex.map(f64::from)
        }
        _ => None,
    };
    if let (Some(wanted), Some(ours)) = (number(wanted), number(ours)) {
        return (wanted - ours).abs() < 1e-9;
    }
    match (wanted.as_str(), ours.as_str()) {
        (Some(wanted), Some(ours)) => {
            let digits = |text: &str| {
                let phone = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
                phone.then(|| text.trim_start_matches('0').to_owned())
            };
            wanted == ours
                || wanted.replacen(' ', "T", 1) == ours
                || digits(wanted).is_some_and(|wanted| digits(ours) == Some(wanted))
        }
        _ => false,
    }
}

/// `id[3]` as `id[#]`.
fn pattern(name: &str) -> String {
    let mut pattern = String::new();
    for character in name.chars() {
        match character {
            digit if digit.is_ascii_digit() && pattern.ends_with(['[', '#']) => {
                pattern.truncate(pattern.len() - usize::from(pattern.ends_with('#')));
                pattern.push('#');
            }
            other => pattern.push(other),
        }
    }
    pattern
}

/// `indexes[#]` for `id[3]` as `indexes[3]`.
fn with_index(field: &str, name: &str) -> String {
    let indexes = name.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    indexes.fold(field.to_owned(), |field, index| field.replacen('#', index, 1))
}

fn parse_id(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn edition(text: Option<&str>) -> Edition {
    match text {
        Some("2011") => Edition::V2011,
        Some("2019") => Edition::V2019,
        _ => Edition::V2013,
    }
}
