//! What a proxy does to the bytes of its links, and when each is due. Knows no sockets and reads no clock.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Luck is dealt to this many bytes of one direction at a time: about one JT/T 808 report each.
const PIECE_BYTES: usize = 128;

/// What happens to all links of a proxy. The default is a good network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// New connections are reset at once. (To whoever dials it is a connection that dies, not one that is refused:
    /// the kernel has taken it before anybody is asked.)
    pub refuse: bool,
    /// From whoever dialled the proxy to the server behind it.
    pub up: Way,
    /// From the server to whoever dialled.
    pub down: Way,
}

/// What happens to the bytes of one direction. Changed, it counts for what arrives from then on; silence counts also for
/// what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Way {
    /// How long each byte is under way, milliseconds.
    pub delay_ms: u32,
    /// What is added to that at random, at most, milliseconds. Bytes keep their order: one that is late makes the others
    /// late.
    pub jitter_ms: u32,
    /// How many bytes fit through in a second; 0 = as many as there are.
    pub bytes_per_s: u32,
    /// Whether anything comes through at all.
    pub silence: Silence,
    /// Of 1,000 pieces of 128 bytes, how many stand still for [`stall_ms`](Self::stall_ms), and with them everything
    /// behind: what the loss of a packet looks like from above TCP.
    pub stall_permille: u32,
    /// For how long, milliseconds.
    pub stall_ms: u32,
    /// Of 1,000 pieces of 128 bytes, how many reset the link.
    pub reset_permille: u32,
}

/// Whether bytes of one direction come through. Where they don't, the end of a link doesn't either, and a connection
/// that was made and ended meanwhile never reaches the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// They do.
    #[default]
    Off,
    /// They wait until the silence is over, as TCP's own resends make them do behind a cut wire.
    Hold,
    /// They are gone, and the rest goes on without them: no network does this, a broken program in between does.
    Swallow,
}

impl Faults {
    /// The same in both directions.
    pub fn both(way: Way) -> Self {
        Self { refuse: false, up: way, down: way }
    }
}

impl Way {
    /// Nothing comes through.
    pub fn silent(silence: Silence) -> Self {
        Self { silence, ..Self::default() }
    }
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Up,
    Down,
}

impl Side {
    pub(super) fn of(self, faults: &Faults) -> Way {
        match self {
            Self::Up => faults.up,
            Self::Down => faults.down,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// The luck of one direction of one link. It follows from seed, link, direction and the number of bytes before, not
/// from how they came in.
#[derive(Debug)]
pub(super) struct Luck {
    rng: StdRng,
    /// Bytes of the last piece that are still to come.
    piece_left: usize,
    jitter: f64,
    /// When the bytes before are through a way of limited width.
    free: Option<Instant>,
    /// When the bytes before are due.
    due: Option<Instant>,
}

/// What becomes of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// They come out then.
    Due(Instant),
    /// The link is reset.
    Reset,
}

impl Luck {
    pub(super) fn new(seed: u64, link: u64, side: Side) -> Self {
        let side = match side {
            Side::Up => 0,
            Side::Down => 1 << 63,
        };
        let rng = StdRng::seed_from_u64(seed ^ link.rotate_left(24) ^ side);
        Self { rng, piece_left: 0, jitter: 0.0, free: None, due: None }
    }

    /// Deals to the next `count` bytes, which arrive `now`.
    pub(super) fn deal(&mut self, now: Instant, way: Way, count: usize) -> Fate {
        let mut delay = Duration::from_millis(way.delay_ms.into());
        let mut left = count;
        while left > 0 {
            if self.piece_left == 0 {
                self.piece_left = PIECE_BYTES;
                // All three are rolled whatever the faults are, so that a change of one leaves the others their luck.
                let rolls: [u32; 2] = [self.rng.random_range(0..1_000), self.rng.random_range(0..1_000)];
                self.jitter = self.rng.random_range(0.0..1.0);
                if rolls[0] < way.reset_permille {
                    return Fate::Reset;
                }
                if rolls[1] < way.stall_permille {
                    delay += Duration::from_millis(way.stall_ms.into());
                }
            }
            let step = left.min(self.piece_left);
            self.piece_left -= step;
            left -= step;
        }
        delay += Duration::from_millis(way.jitter_ms.into()).mul_f64(self.jitter);
        let through = match way.bytes_per_s {
            0 => now,
            rate => {
                let start = self.free.map_or(now, |free| free.max(now));
                start + Duration::from_secs_f64(count as f64 / f64::from(rate))
            }
        };
        self.free = Some(through);
        let due = self.due.map_or(through + delay, |before| before.max(through + delay));
        self.due = Some(due);
        Fate::Due(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn delays(luck: &mut Luck, way: Way, counts: &[usize]) -> Vec<Option<Duration>> {
        let now = Instant::now();
        let delay = |count: &usize| match luck.deal(now, way, *count) {
            Fate::Due(due) => Some(due - now),
            Fate::Reset => None,
        };
        counts.iter().map(delay).collect()
    }

    #[test]
    fn a_good_network_is_no_delay() {
        let mut luck = Luck::new(1, 0, Side::Up);
        assert_eq!(delays(&mut luck, Way::default(), &[1, 10_000]), [Some(Duration::ZERO); 2]);
    }

    #[test]
    fn bytes_are_late_in_their_order() {
        let way = Way { delay_ms: 100, jitter_ms: 1_000, ..Way::default() };
        let due = delays(&mut Luck::new(1, 0, Side::Up), way, &[128; 200]);
        assert!(due.is_sorted());
        assert!(
            due[0] >= Some(SECOND / 10) && due[199] > Some(SECOND / 2) && due[199] < Some(SECOND * 11 / 10)
        );
    }

    #[test]
    fn a_narrow_way_takes_its_time() {
        let way = Way { bytes_per_s: 1_000, delay_ms: 500, ..Way::default() };
        let due = delays(&mut Luck::new(1, 0, Side::Up), way, &[1_000, 500, 500]);
        assert_eq!(due, [Some(SECOND * 3 / 2), Some(SECOND * 2), Some(SECOND * 5 / 2)]);
    }

    #[test]
    fn luck_follows_from_the_seed_and_not_from_how_bytes_come_in() {
        // The number of bytes after which the link is reset.
        let reset_at = |seed, link, side, step: usize| {
            let mut luck = Luck::new(seed, link, side);
            let way = Way { reset_permille: 20, ..Way::default() };
            let passed = (0..).take_while(|_| luck.deal(Instant::now(), way, step) != Fate::Reset);
            (passed.count() * step) / PIECE_BYTES
        };
        let at = reset_at(7, 3, Side::Up, 1);
        assert!(at > 0);
        for step in [2, 64, 128] {
            assert_eq!(reset_at(7, 3, Side::Up, step), at);
        }
        let others =
            [reset_at(8, 3, Side::Up, 1), reset_at(7, 4, Side::Up, 1), reset_at(7, 3, Side::Down, 1)];
        assert!(others.into_iter().any(|other| other != at), "{at} {others:?}");
    }

    #[test]
    fn so_many_of_1000_stall_and_none_without_it() {
        let stalled = |permille| {
            let mut luck = Luck::new(1, 0, Side::Down);
            let way = Way { stall_permille: permille, stall_ms: 60_000, ..Way::default() };
            let mut now = Instant::now();
            let stalls = (0..2_000).filter(|_| {
                now += 120 * SECOND;
                luck.deal(now, way, PIECE_BYTES) != Fate::Due(now)
            });
            stalls.count()
        };
        assert_eq!(stalled(0), 0);
        assert!((150..250).contains(&stalled(100)), "{}", stalled(100));
        assert_eq!(stalled(1_000), 2_000);
    }

    #[test]
    fn is_set_by_what_is_not_the_default() {
        let faults: Faults = serde_json::from_str(r#"{"up":{"silence":"hold","delay_ms":5}}"#).unwrap();
        let up = Way { silence: Silence::Hold, delay_ms: 5, ..Way::default() };
        assert_eq!(faults, Faults { up, ..Faults::default() });
        assert!(serde_json::from_str::<Faults>(r#"{"up":{"loss":1}}"#).is_err());
    }
}
