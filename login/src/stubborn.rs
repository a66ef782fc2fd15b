//! The terminals that did not go where they were sent: the next time they are spliced through at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::TerminalId;
use parking_lot::Mutex;

/// How long that is remembered: a terminal learns it with a new firmware only, but it may get one.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Most entries of a generation, of which there are two: about 40 bytes each.
const GENERATION_MAX: usize = 50_000;

/// A bounded memory in two generations: what was not used while a generation filled up is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Stubborn {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TerminalId, Instant>,
    old: HashMap<TerminalId, Instant>,
}

impl Stubborn {
    /// `terminal` did not go.
    pub(crate) fn remember(&self, now: Instant, terminal: TerminalId) {
        self.generations.lock().put(terminal, now);
    }

    /// Whether `terminal` did not go, lately.
    pub(crate) fn knows(&self, now: Instant, terminal: TerminalId) -> bool {
        let mut generations = self.generations.lock();
        let at = match generations.young.get(&terminal) {
            Some(at) => *at,
            None => match generations.old.remove(&terminal) {
                Some(at) => {
                    generations.put(terminal, at);
                    at
                }
                None => return false,
            },
        };
        now.saturating_duration_since(at) < REMEMBERED_FOR
    }
}

impl Generations {
    fn put(&mut self, terminal: TerminalId, at: Instant) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(terminal, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refused_is_known_for_a_day() {
        let (stubborn, now) = (Stubborn::default(), Instant::now());
        stubborn.remember(now, TerminalId(1));
        assert!(stubborn.knows(now + REMEMBERED_FOR - Duration::from_secs(1), TerminalId(1)));
        assert!(!stubborn.knows(now + REMEMBERED_FOR, TerminalId(1)));
        assert!(!stubborn.knows(now, TerminalId(2)));
    }

    #[test]
    fn who_comes_back_stays_known_and_the_rest_is_bounded() {
        let (stubborn, now) = (Stubborn::default(), Instant::now());
        stubborn.remember(now, TerminalId(0));
        for terminal in 1..=3 * GENERATION_MAX as i64 {
            stubborn.remember(now, TerminalId(terminal));
            if terminal % (GENERATION_MAX as i64 / 2) == 0 {
                assert!(stubborn.knows(now, TerminalId(0)), "in use");
            }
        }
        assert!(!stubborn.knows(now, TerminalId(1)));
        let generations = stubborn.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }
}
