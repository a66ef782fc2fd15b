//! Connections that have proved nothing yet, bounded by address. What proves something, each listener knows.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// How many connections of each address are newcomers. No more entries than connections.
///
/// Each listener has one of its own, so that strangers at one do not shut out those of another.
#[derive(Debug, Default)]
pub struct Newcomers {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One of the [`Newcomers`]; stops counting when dropped: when the connection is gone or has proved itself.
#[derive(Debug)]
pub struct Newcomer {
    newcomers: Arc<Newcomers>,
    address: IpAddr,
}

impl Newcomers {
    /// Counts a connection of `address` (of its /64, if it is IPv6) until the [`Newcomer`] is dropped; `None`
    /// where `max` are counted already.
    pub fn enter(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Newcomer> {
        let address = network(address);
        let mut by_address = self.by_address.lock();
        let count = by_address.get(&address).copied().unwrap_or(0);
        if count >= max {
            return None;
        }
        by_address.insert(address, count + 1);
        Some(Newcomer { newcomers: Arc::clone(self), address })
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        let mut by_address = self.newcomers.by_address.lock();
        match by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: a whole IPv6 /64, because one host has all of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_whole_ipv6_network_is_one_address() {
        let newcomers = Arc::new(Newcomers::default());
        let [one, beside, other] = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"]
            .map(|address| address.parse().expect("an address"));
        let _first = newcomers.enter(one, 1).expect("room");
        assert!(newcomers.enter(beside, 1).is_none());
        assert!(newcomers.enter(other, 1).is_some());
    }

    #[test]
    fn newcomers_of_one_address_are_bounded_and_leave_no_trace() {
        let newcomers = Arc::new(Newcomers::default());
        let [one, other]: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        let first = newcomers.enter(one, 2).expect("room");
        let second = newcomers.enter(mapped, 2).expect("room");
        assert!(newcomers.enter(one, 2).is_none());
        assert!(newcomers.enter(other, 2).is_some());
        drop(first);
        assert!(newcomers.enter(one, 2).is_some());
        drop(second);
        assert!(newcomers.by_address.lock().is_empty());
    }
}
