//! Logins, opaque ones too, that were seen to last a moment ago, so that a request does not ask the database for
//! each token.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use parking_lot::Mutex;

use crate::Principal;

/// Logins remembered at most.
const KEPT_MAX: usize = 10_000;

/// Logins by `K`, each with what is known of it.
pub(crate) struct Logins<K, V> {
    kept: Mutex<Kept<K, V>>,
}

struct Kept<K, V> {
    seen: HashMap<K, (Instant, V)>,
    /// Counts ends: what was asked before one is not kept.
    ends: u64,
}

impl<K, V> Default for Logins<K, V> {
    fn default() -> Self {
        Self { kept: Mutex::new(Kept { seen: HashMap::new(), ends: 0 }) }
    }
}

impl<K: Eq + Hash, V: Copy> Logins<K, V> {
    /// What was known of a login that lasted less than [`Principal::AGE_MAX`] ago.
    pub(crate) fn lasted(&self, login: &K, now: Instant) -> Option<V> {
        let kept = self.kept.lock();
        let (at, known) = kept.seen.get(login)?;
        (now.saturating_duration_since(*at) < Principal::AGE_MAX).then_some(*known)
    }

    pub(crate) fn ends(&self) -> u64 {
        self.kept.lock().ends
    }

    /// Remembers a login that the database called lasting when [`Self::ends`] was `ends`.
    pub(crate) fn keep(&self, login: K, known: V, ends: u64, now: Instant) {
        let mut kept = self.kept.lock();
        if kept.ends != ends {
            return;
        }
        if kept.seen.len() >= KEPT_MAX {
            kept.seen.retain(|_, (at, _)| now.saturating_duration_since(*at) < Principal::AGE_MAX);
        }
        if kept.seen.len() < KEPT_MAX {
            kept.seen.insert(login, (now, known));
        }
    }

    pub(crate) fn forget(&self) {
        let mut kept = self.kept.lock();
        kept.seen.clear();
        kept.ends += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_remembered_for_a_moment_and_not_over_an_end() {
        let (logins, now) = (Logins::default(), Instant::now());
        let before = logins.ends();
        logins.keep(1, 'a', before, now);
        assert_eq!(logins.lasted(&1, now), Some('a'));
        assert_eq!(logins.lasted(&2, now), None);
        assert_eq!(logins.lasted(&1, now + Principal::AGE_MAX), None);
        logins.forget();
        logins.keep(1, 'a', before, now);
        assert_eq!(logins.lasted(&1, now), None);
    }

    #[test]
    fn no_more_than_the_bound_are_remembered_and_the_stale_give_way() {
        let (logins, now) = (Logins::default(), Instant::now());
        for login in 0..=KEPT_MAX {
            logins.keep(login, (), 0, now);
        }
        assert_eq!(logins.kept.lock().seen.len(), KEPT_MAX);
        assert_eq!(logins.lasted(&KEPT_MAX, now), None);
        let later = now + Principal::AGE_MAX;
        logins.keep(KEPT_MAX, (), 0, later);
        assert_eq!(logins.lasted(&KEPT_MAX, later), Some(()));
    }
}
