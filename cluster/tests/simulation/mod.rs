//! What simulated clusters are made of: one random source, one queue of what is yet to happen, clocks that run at
//! different rates, and an etcd. Time is in microseconds; nothing here waits.
//!
//! Knows not what is simulated: see the files beside this folder.
#![allow(dead_code, unreachable_pub, reason = "every simulation uses the part it needs")]

pub mod etcd;
pub mod schedules;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// True time, from the beginning of a schedule.
pub type Micros = u64;

/// One millisecond.
pub const MS: Micros = 1_000;
/// One second.
pub const S: Micros = 1_000_000;

/// SplitMix64: the same numbers for the same seed, on every machine and for ever.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range; the range is small beside 2^64, so that none is noticeably likelier.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, of_1000: u64) -> bool {
        self.next() % 1_000 < of_1000
    }
}

/// A clock that runs fast or slow by so many millionths.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zero: Instant,
    fast_ppm: i64,
}

impl Clock {
    /// One that is off by `off_ppm` at most, either way; often by as much.
    pub fn random(random: &mut Random, zero: Instant, off_ppm: u64) -> Self {
        let ppm = match random.within(0..=3) {
            0 => off_ppm,
            _ => random.within(0..=off_ppm),
        };
        let ppm = i64::try_from(ppm).expect("far below 2^63");
        Self { zero, fast_ppm: if random.permille(500) { ppm } else { -ppm } }
    }

    /// What it shows at a true time.
    pub fn at(&self, now: Micros) -> Instant {
        self.zero + Duration::from_micros(now * self.rate() / S)
    }

    /// The true time at which it shows `instant`, or a moment later.
    pub fn when(&self, instant: Instant) -> Micros {
        let shown =
            u64::try_from(instant.saturating_duration_since(self.zero).as_micros()).expect("some seconds");
        ((shown + 1) * S).div_ceil(self.rate())
    }

    /// How long something takes in true time that takes `time` by this clock.
    pub fn span(&self, time: Duration) -> Micros {
        let shown = u64::try_from(time.as_micros()).expect("some seconds");
        shown * S / self.rate()
    }

    fn rate(&self) -> u64 {
        S.checked_add_signed(self.fast_ppm).expect("a clock that runs")
    }
}

/// What is yet to happen, in its order in time; at one time in the order in which it was put in.
#[derive(Debug)]
pub struct Queue<T> {
    entries: BinaryHeap<Reverse<Entry<T>>>,
    count: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Micros,
    count: u64,
    what: T,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { entries: BinaryHeap::with_capacity(64), count: 0 }
    }
}

impl<T> Queue<T> {
    pub fn put(&mut self, at: Micros, what: T) {
        self.count += 1;
        self.entries.push(Reverse(Entry { at, count: self.count, what }));
    }

    pub fn next(&mut self) -> Option<(Micros, T)> {
        self.entries.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.count).cmp(&(other.at, other.count))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}
