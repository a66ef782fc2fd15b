//! Puts the packages of a long message together again (header bit 13), within bounds.
//!
//! One per connection. Knows no bodies and asks nobody for missing packages; it says which they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::jt808::{Frame, Header, Package};

/// What one held package costs beside its bytes; bounds a flood of empty packages.
const PACKAGE_OVERHEAD_BYTES: usize = 64;
/// What one open message costs beside its packages.
const MESSAGE_OVERHEAD_BYTES: usize = 256;
/// How many serials a terminal may spend on other messages between two packages of one.
const INTERLEAVED_SERIALS_MAX: u16 = 64;

/// The bounds of a [`Reassembler`].
#[derive(Clone, Copy, Debug)]
pub struct ReassemblySettings {
    /// Bytes of one message's body; what grows beyond is refused with all its packages.
    pub message_bytes_max: usize,
    /// Messages that may be open at once; the one that waits longest gives way.
    pub messages_max: usize,
    /// Memory of all open messages, a fixed overhead for each package and message included; those that wait
    /// longest give way.
    pub bytes_max: usize,
    /// How long a message may stay without a new package.
    pub age_max: Duration,
}

impl Default for ReassemblySettings {
    /// A photo of half a megabyte, four messages at once, a megabyte in all, one minute.
    fn default() -> Self {
        Self {
            message_bytes_max: 512 * 1024,
            messages_max: 4,
            bytes_max: 1024 * 1024,
            age_max: Duration::from_secs(60),
        }
    }
}

/// What a package led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reassembled {
    /// A message is whole: the frame as it came where it is not split, otherwise one with the header of the
    /// first package (without package item) and all bodies one after the other.
    Whole(Frame),
    /// More packages are wanted.
    Waiting,
    /// This package is held already.
    Duplicate,
}

/// Why a package was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReassemblyError {
    /// The index is 0 or above the total.
    #[error("package {index} of {total}")]
    Index {
        /// The package's index.
        index: u16,
        /// The message's total.
        total: u16,
    },
    /// The message grew beyond a bound; its other packages are refused too.
    #[error("split message of more than {bytes_max} bytes")]
    TooLong {
        /// The bound.
        bytes_max: usize,
    },
}

/// What a [`Reassembler`] has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyCounts {
    /// Messages put together.
    pub whole: u64,
    /// Packages that were held already.
    pub duplicates: u64,
    /// Packages refused.
    pub refused: u64,
    /// Messages dropped because no package came for too long.
    pub expired: u64,
    /// Messages dropped to make room.
    pub evicted: u64,
}

/// A message that packages are missing of.
#[derive(Clone, Copy, Debug)]
pub struct Incomplete<'a> {
    /// Message id.
    pub id: u16,
    /// Serial number of its first package, by which 0x8003 names it.
    pub first_serial: u16,
    /// How many packages it has.
    pub total: u16,
    /// When its last new package came.
    pub progressed_at: Instant,
    packages: &'a BTreeMap<u16, Held>,
}

impl Incomplete<'_> {
    /// The indexes that are missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = u16> {
        (1..=self.total).filter(|index| !self.packages.contains_key(index))
    }
}

/// Collects packages until their message is whole.
///
/// A message is known by its id and the serial that its first package has (serial − index + 1), so packages may
/// come in any order and more than once. Terminals that go on reporting between two packages break that sum: a
/// package that fits no open message by it joins the one of its id and total that it stands in line with.
#[derive(Debug)]
pub struct Reassembler {
    settings: ReassemblySettings,
    counts: ReassemblyCounts,
    open: BTreeMap<Key, Open>,
    bytes: usize,
}

type Key = (u16, u16);

#[derive(Debug)]
struct Held {
    serial: u16,
    body: Box<[u8]>,
}

#[derive(Debug)]
struct Open {
    first: Option<(Header, u64)>,
    total: u16,
    packages: BTreeMap<u16, Held>,
    body_bytes: usize,
    progressed_at: Instant,
    /// It was too long: it holds nothing and refuses everything until it expires.
    refused: bool,
}

impl Open {
    /// Whether the package of `index` and `serial` is held, or is missing and its serial lies between those of
    /// its held neighbours with as much room as other messages may have taken.
    fn in_line(&self, index: u16, serial: u16) -> bool {
        if let Some(held) = self.packages.get(&index) {
            return held.serial == serial;
        }
        let follows = |from: (u16, u16), to: (u16, u16)| {
            let (places, serials) = (to.0 - from.0, to.1.wrapping_sub(from.1));
            serials >= places && serials - places <= INTERLEAVED_SERIALS_MAX
        };
        let below = self.packages.range(..index).next_back().map(|(at, held)| (*at, held.serial));
        let above = self.packages.range(index..).next().map(|(at, held)| (*at, held.serial));
        below.is_some_and(|below| follows(below, (index, serial)))
            && above.is_none_or(|above| follows((index, serial), above))
    }

    fn held_bytes(&self) -> usize {
        MESSAGE_OVERHEAD_BYTES + self.body_bytes + self.packages.len() * PACKAGE_OVERHEAD_BYTES
    }
}

impl Reassembler {
    /// One with nothing in it.
    pub fn new(settings: ReassemblySettings) -> Self {
        Self { settings, counts: ReassemblyCounts::default(), open: BTreeMap::new(), bytes: 0 }
    }

    /// What was seen so far.
    pub fn counts(&self) -> ReassemblyCounts {
        self.counts
    }

    /// Memory held by open messages, bytes.
    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a frame that arrived at `now`. A frame that is not split, or whose total is 1, is whole at once.
    pub fn push(&mut self, now: Instant, frame: Frame) -> Result<Reassembled, ReassemblyError> {
        let Some(Package { total, index }) = frame.header.package else {
            return Ok(Reassembled::Whole(frame));
        };
        if index == 0 || index > total {
            self.counts.refused += 1;
            return Err(ReassemblyError::Index { index, total });
        }
        if total == 1 {
            self.counts.whole += 1;
            let header = Header { package: None, ..frame.header };
            return Ok(Reassembled::Whole(Frame { header, ..frame }));
        }
        self.expire(now);
        let key = self.key(&frame.header, total, index);
        // the same serials with another total: the terminal started anew
        if self.open.get(&key).is_some_and(|open| open.total != total) {
            self.remove(key);
            self.counts.evicted += 1;
        }
        self.insert(now, key, index, total, frame)
    }

    /// Drops every message without a new package since [`ReassemblySettings::age_max`] before `now`; gives
    /// how many.
    pub fn expire(&mut self, now: Instant) -> usize {
        let age_max = self.settings.age_max;
        let before = self.open.len();
        let bytes = &mut self.bytes;
        self.open.retain(|_, open| {
            let keep = now.saturating_duration_since(open.progressed_at) < age_max;
            *bytes -= if keep { 0 } else { open.held_bytes() };
            keep
        });
        let expired = before - self.open.len();
        self.counts.expired += expired as u64;
        expired
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|open| open.progressed_at + self.settings.age_max).min()
    }

    /// The messages that packages are missing of.
    pub fn incomplete(&self) -> impl Iterator<Item = Incomplete<'_>> {
        self.open.iter().filter(|(_, open)| !open.refused).map(|((id, first_serial), open)| Incomplete {
            id: *id,
            first_serial: *first_serial,
            total: open.total,
            progressed_at: open.progressed_at,
            packages: &open.packages,
        })
    }

    fn key(&self, header: &Header, total: u16, index: u16) -> Key {
        let key = (header.id, header.serial.wrapping_sub(index - 1));
        if index == 1 || self.open.contains_key(&key) {
            return key;
        }
        let of_this_id = self.open.range((header.id, 0)..=(header.id, u16::MAX));
        let in_line =
            of_this_id.filter(|(_, open)| open.total == total && open.in_line(index, header.serial));
        in_line.max_by_key(|(_, open)| open.progressed_at).map_or(key, |(key, _)| *key)
    }

    fn insert(
        &mut self,
        now: Instant,
        key: Key,
        index: u16,
        total: u16,
        frame: Frame,
    ) -> Result<Reassembled, ReassemblyError> {
        if !self.open.contains_key(&key) {
            while self.open.len() >= self.settings.messages_max.max(1) {
                self.evict(None);
            }
            self.bytes += MESSAGE_OVERHEAD_BYTES;
        }
        let open = self.open.entry(key).or_insert_with(|| Open {
            first: None,
            total,
            packages: BTreeMap::new(),
            body_bytes: 0,
            progressed_at: now,
            refused: false,
        });
        let bytes_max = self.settings.message_bytes_max.min(self.settings.bytes_max);
        if open.refused {
            self.counts.refused += 1;
            return Err(ReassemblyError::TooLong { bytes_max });
        }
        if open.packages.contains_key(&index) {
            self.counts.duplicates += 1;
            return Ok(Reassembled::Duplicate);
        }
        let added = frame.body.len() + PACKAGE_OVERHEAD_BYTES;
        if open.body_bytes + frame.body.len() > self.settings.message_bytes_max
            || open.held_bytes() + added > self.settings.bytes_max
        {
            self.bytes -= open.held_bytes() - MESSAGE_OVERHEAD_BYTES;
            *open =
                Open { packages: BTreeMap::new(), body_bytes: 0, refused: true, progressed_at: now, ..*open };
            self.counts.refused += 1;
            return Err(ReassemblyError::TooLong { bytes_max });
        }
        open.progressed_at = now;
        open.body_bytes += frame.body.len();
        if index == 1 {
            open.first = Some((frame.header, frame.offset));
        }
        // copied: a slice would keep the whole receive buffer alive for a few bytes
        open.packages.insert(index, Held { serial: frame.header.serial, body: frame.body.as_ref().into() });
        self.bytes += added;
        if open.packages.len() == usize::from(total)
            && let Some(whole) = self.remove(key).and_then(assemble)
        {
            self.counts.whole += 1;
            return Ok(Reassembled::Whole(whole));
        }
        while self.bytes > self.settings.bytes_max && self.open.len() > 1 {
            self.evict(Some(key));
        }
        Ok(Reassembled::Waiting)
    }

    fn remove(&mut self, key: Key) -> Option<Open> {
        let open = self.open.remove(&key)?;
        self.bytes -= open.held_bytes();
        Some(open)
    }

    /// Drops the message that waits longest, `spared` excepted.
    fn evict(&mut self, spared: Option<Key>) {
        let candidates = self.open.iter().filter(|(key, _)| Some(**key) != spared);
        let oldest = candidates.min_by_key(|(_, open)| open.progressed_at).map(|(key, _)| *key);
        if oldest.and_then(|key| self.remove(key)).is_some() {
            self.counts.evicted += 1;
        }
    }
}

fn assemble(open: Open) -> Option<Frame> {
    let (header, offset) = open.first?;
    let mut body = Vec::with_capacity(open.body_bytes);
    open.packages.values().for_each(|held| body.extend_from_slice(&held.body));
    let header = Header { package: None, ..header };
    Some(Frame { header, declared_len: body.len(), body: Bytes::from(body), offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jt808::{Edition, Phone};

    fn package(serial: u16, total: u16, index: u16, body: &'static [u8]) -> Frame {
        let header = Header::new(0x0801, Edition::V2013, Phone::Short([0; 6]), serial);
        let header = Header { package: Some(Package { total, index }), ..header };
        Frame { header, body: Bytes::from_static(body), declared_len: body.len(), offset: u64::from(serial) }
    }

    fn reassembler(settings: ReassemblySettings) -> (Reassembler, Instant) {
        (Reassembler::new(settings), Instant::now())
    }

    fn whole(reassembled: Reassembled) -> Frame {
        match reassembled {
            Reassembled::Whole(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn packages_in_any_order_and_more_than_once_across_the_serials_wrap() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        assert_eq!(reassembler.push(now, package(0, 3, 3, b"ef")), Ok(Reassembled::Waiting));
        assert_eq!(reassembler.push(now, package(0xfffe, 3, 1, b"ab")), Ok(Reassembled::Waiting));
        assert_eq!(reassembler.push(now, package(0, 3, 3, b"ef")), Ok(Reassembled::Duplicate));
        let incomplete = reassembler.incomplete().next().unwrap();
        assert_eq!((incomplete.id, incomplete.first_serial), (0x0801, 0xfffe));
        assert_eq!(incomplete.missing().collect::<Vec<_>>(), [2]);

        let frame = whole(reassembler.push(now, package(0xffff, 3, 2, b"cd")).unwrap());
        assert_eq!(
            (&frame.body[..], frame.header.serial, frame.header.package),
            (&b"abcdef"[..], 0xfffe, None)
        );
        assert!(frame.length_agrees());
        assert_eq!(reassembler.held_bytes(), 0);
        assert_eq!(reassembler.counts(), ReassemblyCounts { whole: 1, duplicates: 1, ..Default::default() });
    }

    #[test]
    fn a_terminal_that_reports_between_the_packages() {
        // a parameter list whose packages have the serials 1233 and 1250, and a photo: 8245, 8251, 8252
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        reassembler.push(now, package(1233, 2, 1, b"ab")).unwrap();
        let frame = whole(reassembler.push(now, package(1250, 2, 2, b"cd")).unwrap());
        assert_eq!((&frame.body[..], frame.header.serial), (&b"abcd"[..], 1233));

        reassembler.push(now, package(0xfff0, 4, 1, b"a")).unwrap();
        reassembler.push(now, package(0xfff9, 4, 3, b"c")).unwrap();
        reassembler.push(now, package(3, 4, 4, b"d")).unwrap();
        let incomplete = reassembler.incomplete().next().unwrap();
        assert_eq!((incomplete.first_serial, incomplete.missing().collect::<Vec<_>>()), (0xfff0, vec![2]));
        assert_eq!(reassembler.push(now, package(3, 4, 4, b"d")), Ok(Reassembled::Duplicate));
        let frame = whole(reassembler.push(now, package(0xfff5, 4, 2, b"b")).unwrap());
        assert_eq!(&frame.body[..], b"abcd");
    }

    #[test]
    fn packages_of_two_messages_are_not_mixed() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        reassembler.push(now, package(10, 3, 1, b"a")).unwrap();
        reassembler.push(now, package(12, 3, 3, b"c")).unwrap();
        // the second package of another message, whose first is lost
        reassembler.push(now, package(21, 3, 2, b"X")).unwrap();
        reassembler.push(now, package(200, 3, 2, b"Y")).unwrap();
        let frame = whole(reassembler.push(now, package(11, 3, 2, b"b")).unwrap());
        assert_eq!(&frame.body[..], b"abc");
    }

    #[test]
    fn a_message_of_one_package_and_one_that_is_not_split() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        let frame = whole(reassembler.push(now, package(7, 1, 1, b"x")).unwrap());
        assert_eq!(frame.header.package, None);
        assert_eq!(whole(reassembler.push(now, frame.clone()).unwrap()), frame);
    }

    #[test]
    fn impossible_indexes_are_refused() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        for (total, index) in [(0, 0), (3, 0), (3, 4), (0, 1)] {
            let refused = reassembler.push(now, package(1, total, index, b"x"));
            assert_eq!(refused, Err(ReassemblyError::Index { index, total }));
        }
        assert_eq!((reassembler.held_bytes(), reassembler.counts().refused), (0, 4));
    }

    #[test]
    fn a_split_message_that_never_ends_expires() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        reassembler.push(now, package(1, 3, 1, b"x")).unwrap();
        let later = now + Duration::from_secs(59);
        reassembler.push(later, package(2, 3, 2, b"x")).unwrap();
        assert_eq!(reassembler.deadline(), Some(later + Duration::from_secs(60)));
        assert_eq!(reassembler.expire(now + Duration::from_secs(61)), 0);
        assert_eq!(reassembler.expire(later + Duration::from_secs(60)), 1);
        assert_eq!((reassembler.held_bytes(), reassembler.counts().expired), (0, 1));
        assert_eq!(reassembler.deadline(), None);
    }

    #[test]
    fn a_message_that_grows_too_long_is_refused_with_its_rest() {
        let settings = ReassemblySettings { message_bytes_max: 5, ..Default::default() };
        let (mut reassembler, now) = reassembler(settings);
        reassembler.push(now, package(1, 3, 1, b"abc")).unwrap();
        let refused = Err(ReassemblyError::TooLong { bytes_max: 5 });
        assert_eq!(reassembler.push(now, package(2, 3, 2, b"def")), refused);
        assert_eq!(reassembler.push(now, package(3, 3, 3, b"g")), refused);
        assert_eq!(reassembler.incomplete().count(), 0);
        assert_eq!(reassembler.held_bytes(), MESSAGE_OVERHEAD_BYTES);
    }

    #[test]
    fn the_message_that_waits_longest_gives_way() {
        let settings = ReassemblySettings { messages_max: 2, ..Default::default() };
        let (mut reassembler, now) = reassembler(settings);
        for (age, serial) in [(0, 10), (1, 20), (2, 30)] {
            reassembler.push(now + Duration::from_secs(age), package(serial, 2, 1, b"x")).unwrap();
        }
        let open: Vec<_> = reassembler.incomplete().map(|message| message.first_serial).collect();
        assert_eq!((open, reassembler.counts().evicted), (vec![20, 30], 1));
    }

    #[test]
    fn a_flood_of_empty_packages_stays_within_the_bound() {
        let settings = ReassemblySettings { bytes_max: 4096, ..Default::default() };
        let (mut reassembler, now) = reassembler(settings);
        for index in 1..=1000 {
            let _ = reassembler.push(now, package(index, 2000, index, b""));
            assert!(reassembler.held_bytes() <= 4096);
        }
        for serial in (2000..9000).step_by(7) {
            let _ = reassembler.push(now, package(serial, 5, 1, b"xyz"));
            assert!(reassembler.held_bytes() <= 4096);
        }
    }

    #[test]
    fn a_terminal_that_starts_anew_with_the_same_serials() {
        let (mut reassembler, now) = reassembler(ReassemblySettings::default());
        reassembler.push(now, package(0, 3, 1, b"old")).unwrap();
        reassembler.push(now, package(0, 2, 1, b"new")).unwrap();
        let frame = whole(reassembler.push(now, package(1, 2, 2, b"er")).unwrap());
        assert_eq!(&frame.body[..], b"newer");
    }
}
