//! The terminals that a door met lately, by SIM: spares the database a query a reconnection, and
//! stands in for it while it is away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use model::{RedirectForm, Sim, TerminalId};
use parking_lot::Mutex;

/// How long an entry is as good as the database's word. Whoever revokes a code or deletes a terminal also
/// disconnects it, which forgets it here at once; this is for what happens elsewhere.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// Most entries of a generation, of which there are two: about 100 bytes each.
const GENERATION_MAX: usize = 100_000;

/// What is known of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) terminal: TerminalId,
    /// Its current revocation count.
    pub(crate) revocations: u32,
    /// How its 0x8105 is written, where its device profile says so.
    pub(crate) redirect_form: Option<RedirectForm>,
    at: Instant,
}

impl Entry {
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < FRESH_FOR
    }
}

/// A bounded map in two generations: what was not used while a generation filled up is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Known {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Sim, Entry>,
    old: HashMap<Sim, Entry>,
}

impl Known {
    pub(crate) fn of(&self, sim: &Sim) -> Option<Entry> {
        let mut generations = self.generations.lock();
        if let Some(entry) = generations.young.get(sim) {
            return Some(*entry);
        }
        let entry = generations.old.remove(sim)?;
        generations.put(sim, entry);
        Some(entry)
    }

    pub(crate) fn remember(
        &self,
        now: Instant,
        sim: &Sim,
        terminal: TerminalId,
        revocations: u32,
        redirect_form: Option<RedirectForm>,
    ) -> Entry {
        let entry = Entry { terminal, revocations, redirect_form, at: now };
        self.generations.lock().put(sim, entry);
        entry
    }

    pub(crate) fn forget(&self, terminal: TerminalId) {
        let mut generations = self.generations.lock();
        generations.young.retain(|_, entry| entry.terminal != terminal);
        generations.old.retain(|_, entry| entry.terminal != terminal);
    }

    pub(crate) fn forget_sim(&self, sim: &Sim) {
        let mut generations = self.generations.lock();
        generations.young.remove(sim);
        generations.old.remove(sim);
    }
}

impl Generations {
    fn put(&mut self, sim: &Sim, entry: Entry) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(sim.clone(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let known = Known::default();
        let now = Instant::now();
        let sim = |number: usize| number.to_string().parse::<Sim>().expect("a SIM");
        known.remember(now, &sim(0), TerminalId(0), 0, None);
        for number in 1..=3 * GENERATION_MAX {
            if number % (GENERATION_MAX / 2) == 0 {
                assert!(known.of(&sim(0)).is_some(), "in use");
            }
            known.remember(now, &sim(number), TerminalId(number as i64), 0, None);
        }
        assert!(known.of(&sim(0)).is_some());
        assert!(known.of(&sim(1)).is_none());
        let generations = known.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn an_entry_ages_and_is_forgotten() {
        let known = Known::default();
        let now = Instant::now();
        let sim: Sim = "1".parse().expect("a SIM");
        let entry = known.remember(now, &sim, TerminalId(5), 2, None);
        assert!(entry.is_fresh(now + Duration::from_secs(29)));
        assert!(!entry.is_fresh(now + Duration::from_secs(31)));
        known.forget(TerminalId(5));
        assert_eq!(known.of(&sim), None);
    }
}
