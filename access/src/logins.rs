//! Logins that were seen to last a moment ago, so that a request does not ask the database for each token.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::Principal;

/// Logins remembered at most.
const KEPT_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Logins {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    seen: HashMap<Uuid, Instant>,
    /// Counts ends: what was asked before one is not kept.
    ends: u64,
}

impl Logins {
    pub(crate) fn lasted(&self, login: Uuid, now: Instant) -> bool {
        let kept = self.kept.lock();
        kept.seen.get(&login).is_some_and(|at| now.saturating_duration_since(*at) < Principal::AGE_MAX)
    }

    pub(crate) fn ends(&self) -> u64 {
        self.kept.lock().ends
    }

    /// Remembers a login that the database called lasting when [`Self::ends`] was `ends`.
    pub(crate) fn keep(&self, login: Uuid, ends: u64, now: Instant) {
        let mut kept = self.kept.lock();
        if kept.ends != ends {
            return;
        }
        if kept.seen.len() >= KEPT_MAX {
            kept.seen.retain(|_, at| now.saturating_duration_since(*at) < Principal::AGE_MAX);
        }
        if kept.seen.len() < KEPT_MAX {
            kept.seen.insert(login, now);
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
        let (logins, now, login) = (Logins::default(), Instant::now(), Uuid::new_v4());
        let before = logins.ends();
        logins.keep(login, before, now);
        assert!(logins.lasted(login, now));
        assert!(!logins.lasted(login, now + Principal::AGE_MAX));
        logins.forget();
        logins.keep(login, before, now);
        assert!(!logins.lasted(login, now));
    }
}
