//! The links that this gateway holds: one per authenticated terminal, the newest wins.
//!
//! Knows which link is a terminal's and how to reach its task; knows no bytes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use db::NewestAlarms;
use model::{AvAttributes, Sim, TerminalId};
use parking_lot::RwLock;
use protocol::jt808::server::{Answer, Downlink};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A command on its way to a link's task.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) downlink: Downlink,
    /// Dropped unanswered when the link closes first.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What is known of a terminal's audio and video attributes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Attributes {
    #[default]
    Unasked,
    Asked,
    /// None: it did not answer, or not with what can be read.
    Known(Option<AvAttributes>),
}

/// An authenticated link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells this link from every other of this process; a later one is higher.
    pub(crate) number: u64,
    pub(crate) sim: Sim,
    /// 6 or 10: the length of the phone number in its header.
    pub(crate) sim_bytes: u8,
    /// Our address as the terminal dialled it.
    pub(crate) local: IpAddr,
    /// The terminal's address as we see it.
    pub(crate) peer: IpAddr,
    /// The revocation count of the code that let it in, where the database could not be asked whether it
    /// is still the current one.
    pub(crate) unchecked: Option<u32>,
    /// What the terminal's newest report before this link said, once that can be known: the database has opened
    /// the session, and nothing from before is still in the spool.
    pub(crate) newest: watch::Sender<Option<NewestAlarms>>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) attributes: watch::Sender<Attributes>,
    /// Ends the link's task.
    pub(crate) close: CancellationToken,
}

/// The links by terminal. As many as there are connections, which are bounded.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_terminal: RwLock<HashMap<TerminalId, Arc<Link>>>,
    last_number: AtomicU64,
}

impl Links {
    /// A number for a link that is about to authenticate.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes `link` the terminal's link; the one that it replaces is told to close and returned.
    pub(crate) fn put(&self, terminal: TerminalId, link: Arc<Link>) -> Option<Arc<Link>> {
        let replaced = self.by_terminal.write().insert(terminal, link);
        if let Some(old) = &replaced {
            old.close.cancel();
        }
        replaced
    }

    /// Forgets the link `number`; false where the terminal has a newer one (a late end of a replaced link).
    pub(crate) fn remove(&self, terminal: TerminalId, number: u64) -> bool {
        let mut links = self.by_terminal.write();
        let is_current = links.get(&terminal).is_some_and(|link| link.number == number);
        if is_current {
            links.remove(&terminal);
        }
        is_current
    }

    pub(crate) fn of(&self, terminal: TerminalId) -> Option<Arc<Link>> {
        self.by_terminal.read().get(&terminal).cloned()
    }

    /// The number of each terminal's link.
    pub(crate) fn numbers(&self) -> HashMap<TerminalId, u64> {
        self.by_terminal.read().iter().map(|(terminal, link)| (*terminal, link.number)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_terminal.read().len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of a 2013 terminal at 192.0.2.8 that dialled 192.0.2.7.
    pub(crate) fn link(number: u64) -> Arc<Link> {
        Arc::new(Link {
            number,
            sim: "13912345678".parse().expect("a SIM"),
            sim_bytes: 6,
            local: IpAddr::from([192, 0, 2, 7]),
            peer: IpAddr::from([192, 0, 2, 8]),
            unchecked: None,
            newest: watch::Sender::default(),
            orders: mpsc::channel(1).0,
            attributes: watch::Sender::default(),
            close: CancellationToken::new(),
        })
    }

    #[test]
    fn the_newest_link_wins_and_a_late_end_of_the_old_one_changes_nothing() {
        let links = Links::default();
        let terminal = TerminalId(1);
        let (old, new) = (link(links.next_number()), link(links.next_number()));
        assert!(links.put(terminal, Arc::clone(&old)).is_none());
        assert!(links.put(terminal, Arc::clone(&new)).is_some());
        assert!(old.close.is_cancelled() && !new.close.is_cancelled());
        assert!(!links.remove(terminal, old.number));
        assert_eq!(links.of(terminal).map(|link| link.number), Some(new.number));
        assert!(links.remove(terminal, new.number));
        assert_eq!(links.len(), 0);
    }
}
