//! Time stamps that can be relied on, made of device stamps that cannot.

use std::time::Instant;

/// Which of a stream's two stamp sequences a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// Re-bases the stamps of one stream: only their differences count, and where the device's clock stops or
/// jumps the time of arrival takes its place.
#[derive(Clone, Debug)]
pub struct Timeline {}

impl Timeline {
    /// A timeline that begins at 0 with its first stamp.
    pub fn new() -> Self {
        todo!()
    }

    /// Milliseconds since the first stamp for a frame stamped `device_ms` that arrived at `arrival`.
    /// Pictures always rise by at least 1 ms; sounds may share one value ([`SampleClock`] spreads them).
    pub fn place(&mut self, _track: Track, _device_ms: u64, _arrival: Instant) -> u64 {
        todo!()
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

/// Time stamps for sound by counting samples, held to the stream's timeline: devices stamp several packets
/// alike and send them in bunches.
#[derive(Clone, Debug)]
pub struct SampleClock {}

impl SampleClock {
    /// For sound of `rate_hz` samples a second.
    pub fn new(_rate_hz: u32) -> Self {
        todo!()
    }

    /// The time in 90 kHz units of the first of `samples` samples whose frame the timeline put at
    /// `timestamp_ms`. Always rises; follows the timeline again when the two part by more than half a second.
    pub fn stamp(&mut self, _timestamp_ms: u64, _samples: u32) -> u64 {
        todo!()
    }
}
