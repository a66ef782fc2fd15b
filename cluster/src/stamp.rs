//! The stamp on each call between nodes, and what is refused by it: another dialect, another addressee, another time,
//! a call seen before.
//!
//! Pure: the time is passed in. That the caller is who the stamp says, its certificate proves; see
//! [`Credentials`](crate::Credentials).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::{DIALECT, Incarnation, NodeId};

/// How far the clocks of two nodes may be apart before calls between them are refused, milliseconds. Also how long
/// after its time a call could be sent again and pass for its time: so long are its number and life remembered.
pub const CLOCK_MAX_MS: i64 = 30_000;

/// How far behind a life's highest number a call may arrive: more than are ever under way at once to one node.
const WINDOW: u64 = 4_096;

/// Lives of one node that are told apart: it was restarted so often within [`CLOCK_MAX_MS`], or two processes run
/// under its name.
const LIVES_MAX: usize = 8;

/// Nodes that are remembered: more than a cluster has. Only who has a certificate gets this far.
const NODES_MAX: usize = 1_024;

/// Most bytes of a stamp in text: its fields at their longest and some.
const STAMP_BYTES_MAX: usize = 256;

/// Who calls whom, in which dialect, which of its calls, and when.
///
/// As text `<dialect>;<from>;<to>;<incarnation>;<number>;<unix ms>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The caller.
    pub from: NodeId,
    /// The addressee.
    pub to: NodeId,
    /// Which life of the caller.
    pub incarnation: Incarnation,
    /// Which of this life's calls to this addressee, from 1.
    pub number: u64,
    /// When, by the caller's clock, Unix milliseconds.
    pub at_ms: i64,
}

/// Why a call is refused by its stamp. It was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// It says other things than this program.
    #[error("dialect: the call is in dialect {theirs}, this node speaks {DIALECT}")]
    Dialect {
        /// The caller's.
        theirs: u32,
    },
    /// It is no stamp.
    #[error("stamp: `{0}` is no call stamp")]
    Malformed(String),
    /// It is for another node.
    #[error("addressee: the call is for {0}")]
    Addressee(NodeId),
    /// The clocks are too far apart.
    #[error("clock: the call is stamped {ahead_ms} ms ahead of this node's clock")]
    Clock {
        /// The caller's clock less ours, milliseconds.
        ahead_ms: i64,
    },
    /// It was seen before, or cannot be told from one that was.
    #[error("replayed: call {number} of this life was seen before, or is too old to say")]
    Replayed {
        /// Which.
        number: u64,
    },
    /// More nodes called within [`CLOCK_MAX_MS`] than are remembered.
    #[error("too many nodes call at once")]
    Crowded,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, incarnation, number, at_ms } = self;
        write!(f, "{DIALECT};{from};{to};{incarnation};{number};{at_ms}")
    }
}

impl FromStr for Stamp {
    type Err = StampError;

    /// The dialect is read first: what follows may look otherwise in another one.
    fn from_str(text: &str) -> Result<Self, StampError> {
        let malformed = || StampError::Malformed(text.chars().take(STAMP_BYTES_MAX).collect());
        if text.len() > STAMP_BYTES_MAX {
            return Err(malformed());
        }
        let (dialect, rest) = text.split_once(';').ok_or_else(malformed)?;
        let theirs: u32 = dialect.parse().map_err(|_| malformed())?;
        if theirs != DIALECT {
            return Err(StampError::Dialect { theirs });
        }
        let mut fields = rest.split(';');
        let mut field = || fields.next().ok_or_else(malformed);
        let from = field()?.parse().map_err(|_| malformed())?;
        let to = field()?.parse().map_err(|_| malformed())?;
        let incarnation = u64::from_str_radix(field()?, 16).map(Incarnation).map_err(|_| malformed())?;
        let number = field()?.parse().map_err(|_| malformed())?;
        let at_ms = field()?.parse().map_err(|_| malformed())?;
        if fields.next().is_some() || number == 0 {
            return Err(malformed());
        }
        Ok(Self { from, to, incarnation, number, at_ms })
    }
}

/// Stamps the calls of one life of a node.
#[derive(Debug)]
pub struct Stamper {
    from: NodeId,
    incarnation: Incarnation,
    /// The last number to each addressee. No more entries than nodes that were in the View during this life.
    numbers: Mutex<HashMap<NodeId, u64>>,
}

impl Stamper {
    /// For the calls of this life of `from`.
    pub fn new(from: NodeId, incarnation: Incarnation) -> Self {
        Self { from, incarnation, numbers: Mutex::default() }
    }

    /// Who stamps.
    pub fn node(&self) -> &NodeId {
        &self.from
    }

    /// For one call, at once before it is sent.
    pub fn stamp(&self, to: &NodeId, now: DateTime<Utc>) -> Stamp {
        let mut numbers = self.numbers.lock();
        let number = match numbers.get_mut(to) {
            Some(number) => {
                *number += 1;
                *number
            }
            None => {
                numbers.insert(to.clone(), 1);
                1
            }
        };
        Stamp {
            from: self.from.clone(),
            to: to.clone(),
            incarnation: self.incarnation,
            number,
            at_ms: now.timestamp_millis(),
        }
    }
}

/// Who called this node, and which of their calls.
#[derive(Debug)]
pub struct Callers {
    me: NodeId,
    /// Calls from before this life of ours are refused: what its predecessor saw is not known.
    since_ms: i64,
    nodes: HashMap<NodeId, CallerNode>,
}

/// A node that called, with the latest lives of it.
#[derive(Debug, Default)]
struct CallerNode {
    lives: Vec<Life>,
    /// The latest stamp of any life that was forgotten: a call of that time or before may have been seen.
    forgotten_to_ms: Option<i64>,
}

/// What was seen of one life of a caller.
#[derive(Debug)]
struct Life {
    incarnation: Incarnation,
    /// Calls of that time or before may have been seen and forgotten.
    after_ms: Option<i64>,
    latest_ms: i64,
    seen: Seen,
}

impl Callers {
    /// None yet.
    pub fn new(me: NodeId, now: DateTime<Utc>) -> Self {
        Self { me, since_ms: now.timestamp_millis(), nodes: HashMap::new() }
    }

    /// Takes a call whose caller is known to be `stamp.from`.
    ///
    /// # Errors
    /// When it is to be refused.
    pub fn admit(&mut self, stamp: &Stamp, now: DateTime<Utc>) -> Result<(), StampError> {
        if stamp.to != self.me {
            return Err(StampError::Addressee(stamp.to.clone()));
        }
        let now_ms = now.timestamp_millis();
        let ahead_ms = stamp.at_ms.saturating_sub(now_ms);
        if ahead_ms.unsigned_abs() > CLOCK_MAX_MS.unsigned_abs() {
            return Err(StampError::Clock { ahead_ms });
        }
        let replayed = Err(StampError::Replayed { number: stamp.number });
        if stamp.at_ms < self.since_ms {
            return replayed;
        }
        if !self.nodes.contains_key(&stamp.from) {
            self.make_room(now_ms)?;
        }
        let node = self.nodes.entry(stamp.from.clone()).or_default();
        let life = node.life(stamp.incarnation, now_ms);
        let is_new = life.after_ms.is_none_or(|after| stamp.at_ms > after) && life.seen.take(stamp.number);
        if !is_new {
            return replayed;
        }
        life.latest_ms = life.latest_ms.max(stamp.at_ms);
        Ok(())
    }

    /// Forgets nodes that called so long ago that their calls are refused by the clock.
    fn make_room(&mut self, now_ms: i64) -> Result<(), StampError> {
        if self.nodes.len() < NODES_MAX {
            return Ok(());
        }
        self.nodes.retain(|_, node| {
            let lives = node.lives.iter().map(|life| life.latest_ms);
            lives.chain(node.forgotten_to_ms).any(|latest| latest >= now_ms - CLOCK_MAX_MS)
        });
        if self.nodes.len() < NODES_MAX { Ok(()) } else { Err(StampError::Crowded) }
    }
}

impl CallerNode {
    /// The life of that number, made where there is none; the one heard of longest ago makes room for it.
    fn life(&mut self, incarnation: Incarnation, now_ms: i64) -> &mut Life {
        if let Some(index) = self.lives.iter().position(|life| life.incarnation == incarnation) {
            return &mut self.lives[index];
        }
        if self.lives.len() >= LIVES_MAX {
            let oldest = (0..self.lives.len()).min_by_key(|index| self.lives[*index].latest_ms).unwrap_or(0);
            let gone = self.lives.swap_remove(oldest);
            self.forgotten_to_ms = self.forgotten_to_ms.max(Some(gone.latest_ms));
        }
        // What was forgotten needs no guard once the clock refuses it.
        let after_ms = self.forgotten_to_ms.filter(|forgotten| *forgotten >= now_ms - CLOCK_MAX_MS);
        self.lives.push(Life { incarnation, after_ms, latest_ms: i64::MIN, seen: Seen::default() });
        let last = self.lives.len() - 1;
        &mut self.lives[last]
    }
}

/// Which numbers of the last [`WINDOW`] were seen: a ring of bits.
#[derive(Debug)]
struct Seen {
    highest: u64,
    bits: Box<[u64; (WINDOW / 64) as usize]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { highest: 0, bits: Box::new([0; (WINDOW / 64) as usize]) }
    }
}

impl Seen {
    /// Marks `number`, 1 or more; false where it was marked before or lies behind the window.
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            if number - self.highest >= WINDOW {
                self.bits.fill(0);
            } else {
                for passed in self.highest + 1..=number {
                    *self.word(passed) &= !bit(passed);
                }
            }
            self.highest = number;
        } else if self.highest - number >= WINDOW || *self.word(number) & bit(number) != 0 {
            return false;
        }
        *self.word(number) |= bit(number);
        true
    }

    fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.bits[(number % WINDOW / 64) as usize]
    }
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: i64 = 1_800_000_000_000;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(START_MS + ms).expect("a time")
    }

    fn node(name: &str) -> NodeId {
        name.parse().expect("a name")
    }

    fn stamp(incarnation: u64, number: u64, ms: i64) -> Stamp {
        Stamp {
            from: node("gw1"),
            to: node("api1"),
            incarnation: Incarnation(incarnation),
            number,
            at_ms: START_MS + ms,
        }
    }

    fn callers() -> Callers {
        Callers::new(node("api1"), at(0))
    }

    #[test]
    fn a_stamp_is_read_back_from_its_text() {
        let stamp = Stamper::new(node("gw1"), Incarnation(u64::MAX)).stamp(&node("api1"), at(5));
        let text = stamp.to_string();
        assert_eq!(text, "1;gw1;api1;ffffffffffffffff;1;1800000000005");
        assert_eq!(text.parse(), Ok(stamp));
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        let long = format!("1;gw1;api1;1;1;{}", "1".repeat(300));
        let wrong = [
            "",
            "1",
            "x;gw1;api1;1;1;1",
            "1;gw1;api1;1;1",
            "1;gw1;api1;1;1;1;1",
            "1;GW1;api1;1;1;1",
            "1;gw1;api.1;1;1;1",
            "1;gw1;api1;g;1;1",
            "1;gw1;api1;1;0;1",
            "1;gw1;api1;1;-1;1",
            "1;gw1;api1;1;1;99999999999999999999",
            &long,
        ];
        for text in wrong {
            assert!(matches!(text.parse::<Stamp>(), Err(StampError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_call_in_another_dialect_is_refused_whatever_follows() {
        let theirs = DIALECT + 1;
        assert_eq!(format!("{theirs};?").parse::<Stamp>(), Err(StampError::Dialect { theirs }));
    }

    #[test]
    fn a_call_for_another_node_is_refused() {
        let astray = Stamp { to: node("api2"), ..stamp(1, 1, 0) };
        assert_eq!(callers().admit(&astray, at(0)), Err(StampError::Addressee(node("api2"))));
    }

    #[test]
    fn a_call_from_a_wrong_clock_is_refused_both_ways() {
        let mut callers = callers();
        let now = at(100_000);
        for (number, ahead_ms) in [(1, CLOCK_MAX_MS), (2, -CLOCK_MAX_MS)] {
            assert_eq!(callers.admit(&stamp(1, number, 100_000 + ahead_ms), now), Ok(()));
        }
        for (number, ahead_ms) in [(3, CLOCK_MAX_MS + 1), (4, -CLOCK_MAX_MS - 1)] {
            let refused = callers.admit(&stamp(1, number, 100_000 + ahead_ms), now);
            assert_eq!(refused, Err(StampError::Clock { ahead_ms }));
        }
        for at_ms in [i64::MIN, i64::MAX] {
            let absurd = Stamp { at_ms, ..stamp(1, 5, 0) };
            assert!(matches!(callers.admit(&absurd, now), Err(StampError::Clock { .. })));
        }
    }

    #[test]
    fn a_replayed_call_is_refused() {
        let mut callers = callers();
        let first = stamp(1, 1, 0);
        assert_eq!(callers.admit(&first, at(0)), Ok(()));
        assert_eq!(callers.admit(&first, at(1)), Err(StampError::Replayed { number: 1 }));
        // Another life or another node counts anew.
        assert_eq!(callers.admit(&stamp(2, 1, 1), at(1)), Ok(()));
        assert_eq!(callers.admit(&Stamp { from: node("gw2"), ..stamp(1, 1, 1) }, at(1)), Ok(()));
        assert_eq!(callers.admit(&first, at(2)), Err(StampError::Replayed { number: 1 }));
    }

    #[test]
    fn calls_may_overtake_each_other_within_the_window_alone() {
        let mut callers = callers();
        let mut admit = |number| callers.admit(&stamp(1, number, 0), at(0)).is_ok();
        assert!(admit(WINDOW + 10));
        assert!(admit(11), "the last number inside the window");
        assert!(!admit(11));
        assert!(!admit(10), "the first one behind it");
        assert!(admit(WINDOW + 12));
        assert!(admit(WINDOW + 11), "jumped over");
        assert!(!admit(11));
        assert!(!admit(12), "behind the window now");
        assert!(admit(13));
        // A jump of exactly the window, and one far beyond it.
        assert!(admit(2 * WINDOW + 12));
        assert!(!admit(WINDOW + 12), "its bit is the new number's");
        assert!(admit(WINDOW + 13));
        assert!(admit(u64::MAX));
        assert!(!admit(u64::MAX));
        assert!(admit(u64::MAX - WINDOW + 1));
        assert!(!admit(u64::MAX - WINDOW));
    }

    #[test]
    fn numbers_in_order_are_all_taken_once() {
        let mut seen = Seen::default();
        assert!((1..=3 * WINDOW).all(|number| seen.take(number)));
        assert!((1..=3 * WINDOW).all(|number| !seen.take(number)));
    }

    #[test]
    fn calls_of_a_forgotten_life_are_refused() {
        let mut callers = callers();
        let old = stamp(1, 1, 0);
        assert_eq!(callers.admit(&old, at(0)), Ok(()));
        for life in 0..LIVES_MAX as u64 {
            assert_eq!(callers.admit(&stamp(100 + life, 1, 10 + life as i64), at(20)), Ok(()));
        }
        assert_eq!(callers.nodes[&node("gw1")].lives.len(), LIVES_MAX);
        assert_eq!(callers.admit(&old, at(20)), Err(StampError::Replayed { number: 1 }));
        // Even once its life was taken up anew by a later call.
        assert_eq!(callers.admit(&stamp(1, 3, 30), at(30)), Ok(()));
        assert_eq!(callers.admit(&old, at(30)), Err(StampError::Replayed { number: 1 }));
        assert_eq!(callers.admit(&stamp(1, 2, 30), at(30)), Ok(()), "never seen");
    }

    #[test]
    fn calls_of_before_this_life_of_the_callee_are_refused() {
        assert_eq!(callers().admit(&stamp(1, 7, -1), at(0)), Err(StampError::Replayed { number: 7 }));
        assert_eq!(callers().admit(&stamp(1, 7, 0), at(0)), Ok(()));
    }

    #[test]
    fn so_many_nodes_are_remembered_and_the_silent_ones_make_room() {
        let mut callers = callers();
        let of = |name: String, ms| Stamp { from: node(&name), ..stamp(1, 1, ms) };
        for number in 0..NODES_MAX {
            assert_eq!(callers.admit(&of(format!("n{number}"), 0), at(0)), Ok(()));
        }
        assert_eq!(callers.admit(&of("late".to_owned(), 1), at(1)), Err(StampError::Crowded));
        let later = CLOCK_MAX_MS + 1;
        assert_eq!(callers.admit(&of("late".to_owned(), later), at(later)), Ok(()));
        assert_eq!(callers.nodes.len(), 1);
        assert!(matches!(callers.admit(&of("n0".to_owned(), 0), at(later)), Err(StampError::Clock { .. })));
    }

    #[test]
    fn each_addressee_has_numbers_of_its_own() {
        let stamper = Stamper::new(node("gw1"), Incarnation(1));
        let numbers = ["api1", "api1", "api2", "api1"].map(|to| stamper.stamp(&node(to), at(0)).number);
        assert_eq!(numbers, [1, 2, 1, 3]);
    }
}
