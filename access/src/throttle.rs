//! Log-in throttling: failures are counted per account name and per address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Over which time failures are counted.
const WINDOW: Duration = Duration::from_secs(300);
/// Failures of one account name within the window, from anywhere.
const PER_ACCOUNT: u32 = 10;
/// Failures of one address within the window: a company's people may share one.
const PER_ADDRESS: u32 = 50;
/// Names and addresses kept, each; the oldest give way. Some 100 bytes an entry.
const ENTRIES_MAX: usize = 20_000;

/// Counts attempts to log in. An attempt counts as failed until it is known to have succeeded, so that
/// attempts at the same time cannot pass the limit together.
#[derive(Default)]
pub(crate) struct Throttle {
    counters: Mutex<Counters>,
}

#[derive(Default)]
struct Counters {
    accounts: HashMap<String, Window>,
    addresses: HashMap<IpAddr, Window>,
}

#[derive(Clone, Copy)]
struct Window {
    since: Instant,
    attempts: u32,
}

impl Throttle {
    /// Says after which time `address` may try anything again, where it rests. Counts nothing.
    pub(crate) fn may_ask(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let counters = self.counters.lock();
        remaining(counters.addresses.get(&network(address)), PER_ADDRESS, now).map_or(Ok(()), Err)
    }

    /// Counts an attempt, or says after which time the next may be made.
    pub(crate) fn begin(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut counters = self.counters.lock();
        let address = network(address);
        let wait = [
            remaining(counters.accounts.get(account), PER_ACCOUNT, now),
            remaining(counters.addresses.get(&address), PER_ADDRESS, now),
        ];
        if let Some(wait) = wait.into_iter().flatten().max() {
            return Err(wait);
        }
        count(&mut counters.accounts, account.to_owned(), now);
        count(&mut counters.addresses, address, now);
        Ok(())
    }

    /// Takes the attempt back: it succeeded (the account's count is forgotten), or it could not be decided.
    pub(crate) fn take_back(&self, account: &str, address: IpAddr, succeeded: bool) {
        let mut counters = self.counters.lock();
        if succeeded {
            counters.accounts.remove(account);
        } else if let Some(window) = counters.accounts.get_mut(account) {
            window.attempts = window.attempts.saturating_sub(1);
        }
        if let Some(window) = counters.addresses.get_mut(&network(address)) {
            window.attempts = window.attempts.saturating_sub(1);
        }
    }
}

/// What counts as one address: a whole IPv6 /64, because one person has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

fn remaining(window: Option<&Window>, limit: u32, now: Instant) -> Option<Duration> {
    let window = window.filter(|window| window.attempts >= limit)?;
    let wait = (window.since + WINDOW).saturating_duration_since(now);
    (!wait.is_zero()).then_some(wait)
}

fn count<K: Eq + Hash + Clone>(windows: &mut HashMap<K, Window>, key: K, now: Instant) {
    if windows.len() >= ENTRIES_MAX && !windows.contains_key(&key) {
        windows.retain(|_, window| now.saturating_duration_since(window.since) < WINDOW);
        if windows.len() >= ENTRIES_MAX
            && let Some(oldest) = windows.iter().min_by_key(|(_, w)| w.since).map(|(key, _)| key.clone())
        {
            windows.remove(&oldest);
        }
    }
    let window = windows.entry(key).or_insert(Window { since: now, attempts: 0 });
    if now.saturating_duration_since(window.since) >= WINDOW {
        *window = Window { since: now, attempts: 0 };
    }
    window.attempts += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn an_account_rests_after_its_failures_and_is_free_after_the_window() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..PER_ACCOUNT {
            assert_eq!(throttle.begin("admin", HERE, start), Ok(()));
        }
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.begin("admin", HERE, later), Err(WINDOW - Duration::from_secs(10)));
        assert_eq!(throttle.begin("other", HERE, later), Ok(()), "others are not touched");
        assert_eq!(throttle.begin("admin", HERE, start + WINDOW), Ok(()));
    }

    #[test]
    fn an_address_rests_whatever_account_it_tries_and_an_ipv6_network_is_one() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..PER_ADDRESS {
            let address = format!("2001:db8::{n:x}").parse().expect("an address");
            assert_eq!(throttle.begin(&format!("a{n}"), address, now), Ok(()));
        }
        let same = "2001:db8::ffff".parse().expect("an address");
        let other = "2001:db8:0:1::1".parse().expect("an address");
        assert_eq!(throttle.begin("new", same, now), Err(WINDOW));
        assert_eq!(throttle.may_ask(same, now), Err(WINDOW));
        assert_eq!(throttle.may_ask(other, now), Ok(()));
        assert_eq!(throttle.begin("new", other, now), Ok(()));
    }

    #[test]
    fn success_forgets_the_failures_of_the_account() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..10 * PER_ACCOUNT {
            assert_eq!(throttle.begin("admin", HERE, now), Ok(()));
            throttle.take_back("admin", HERE, true);
        }
    }

    #[test]
    fn the_maps_stay_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..ENTRIES_MAX + 10 {
            let address = IpAddr::from((n as u32).to_be_bytes());
            let _ = throttle.begin(&n.to_string(), address, now + Duration::from_nanos(n as u64));
        }
        let counters = throttle.counters.lock();
        assert_eq!(counters.accounts.len(), ENTRIES_MAX);
        assert_eq!(counters.addresses.len(), ENTRIES_MAX);
    }
}
