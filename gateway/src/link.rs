//! The links that this gateway holds: one per authenticated terminal, the newest wins. Who follows them is told of
//! every change.
//!
//! Knows which link is a terminal's and how to reach its task; knows no bytes.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use cluster::trace::Traceparent;
use cluster::{LinkChange, LinkChanges, LinkStamp};
use db::NewestAlarms;
use futures_util::{StreamExt as _, future};
use model::{AvAttributes, Sim, TerminalId};
use parking_lot::{Mutex, RwLock};
use protocol::jt808::message::ControlForm;
use protocol::jt808::server::{Answer, Downlink};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

use crate::course::Course;

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

/// How many changes of links somebody may lag behind: half of the links that a gateway holds come back at once.
const CHANGES_MAX: usize = 8_192;

/// What a terminal made of being sent here by 0x8105. In the order in which terminals are let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Redirect {
    Obeyed,
    #[default]
    Unknown,
    Refused,
}

/// The code that a terminal authenticated with, which it may be sent elsewhere with.
pub(crate) struct Code(Bytes);

impl Code {
    /// Some terminals end it, or fill it up, with zeros or spaces.
    pub(crate) fn of(said: &Bytes) -> Self {
        let length = said.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
        Self(said.slice(..length))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// An authenticated link.
#[derive(Debug)]
pub(crate) struct Link {
    /// Tells this link from every other of this process; a later one is higher.
    pub(crate) number: u64,
    pub(crate) sim: Sim,
    /// 6 or 10: the length of the phone number in its header.
    pub(crate) sim_bytes: u8,
    /// Our address as the terminal dialled it; where it is spliced, as the login server did.
    pub(crate) local: SocketAddr,
    /// The terminal's address as we see it, or the login server that carries its link.
    pub(crate) peer: IpAddr,
    /// Whether a login server carries it.
    pub(crate) is_spliced: bool,
    /// When it authenticated, milliseconds since 1970-01-01 UTC.
    pub(crate) since_ms: i64,
    /// The session's, once the database gave one.
    pub(crate) epoch: OnceLock<i64>,
    /// Whether another gateway has a newer link of the terminal.
    pub(crate) is_superseded: AtomicBool,
    /// When it was sent here last, as far as is known, and what it made of that.
    pub(crate) renewed_at: Mutex<Instant>,
    pub(crate) redirect: Mutex<Redirect>,
    /// Whether it is to go.
    pub(crate) is_leaving: AtomicBool,
    pub(crate) code: Code,
    /// How 0x8105 is written for it.
    pub(crate) redirect_form: ControlForm,
    /// The revocation count of the code that let it in, where the database could not be asked whether it
    /// is still the current one.
    pub(crate) unchecked: Option<u32>,
    /// What the terminal's newest report before this link said, once that can be known: the database has opened
    /// the session, and nothing from before is still in the spool.
    pub(crate) newest: watch::Sender<Option<NewestAlarms>>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// How it came, step by step.
    pub(crate) course: Course,
    pub(crate) attributes: watch::Sender<Attributes>,
    /// Ends the link's task.
    pub(crate) close: CancellationToken,
    /// Cancelled when it is no link any more.
    pub(crate) ended: CancellationToken,
}

impl Link {
    pub(crate) fn stamp(&self) -> LinkStamp {
        LinkStamp { epoch: self.epoch.get().copied(), since_ms: self.since_ms }
    }

    /// Closes this link if that of `stamp`, at another gateway, is newer. Whether it is.
    pub(crate) fn supersede(&self, stamp: LinkStamp) -> bool {
        let is_newer = stamp.is_newer_than(&self.stamp());
        if is_newer {
            self.is_superseded.store(true, Ordering::Relaxed);
            self.close.cancel();
        }
        is_newer
    }

    pub(crate) fn redirect(&self) -> Redirect {
        *self.redirect.lock()
    }
}

/// The links by terminal. As many as there are connections, which are bounded.
#[derive(Debug)]
pub(crate) struct Links {
    by_terminal: RwLock<HashMap<TerminalId, Arc<Link>>>,
    last_number: AtomicU64,
    /// Told under the lock, so in the order of what happens.
    changes: broadcast::Sender<LinkChange>,
    count: watch::Sender<usize>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            by_terminal: RwLock::default(),
            last_number: AtomicU64::new(0),
            changes: broadcast::channel(CHANGES_MAX).0,
            count: watch::Sender::default(),
        }
    }
}

impl Links {
    /// A number for a link that is about to authenticate.
    pub(crate) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes `link` the terminal's link; the one that it replaces is told to close and returned.
    pub(crate) fn put(&self, terminal: TerminalId, link: Arc<Link>) -> Option<Arc<Link>> {
        let mut links = self.by_terminal.write();
        self.tell(terminal, &link, true, None);
        let replaced = links.insert(terminal, link);
        self.count.send_replace(links.len());
        drop(links);
        if let Some(old) = &replaced {
            old.close.cancel();
        }
        replaced
    }

    /// Forgets the link `number`; false where the terminal has a newer one (a late end of a replaced link).
    pub(crate) fn remove(&self, terminal: TerminalId, number: u64) -> bool {
        let mut links = self.by_terminal.write();
        let is_current = links.get(&terminal).is_some_and(|link| link.number == number);
        if is_current && let Some(link) = links.remove(&terminal) {
            self.tell(terminal, &link, false, None);
            self.count.send_replace(links.len());
        }
        is_current
    }

    /// The database gave the link `number` its epoch, which is the step of `trace`.
    pub(crate) fn opened(&self, terminal: TerminalId, number: u64, epoch: i64, trace: Option<Traceparent>) {
        let links = self.by_terminal.write();
        if let Some(link) = links.get(&terminal).filter(|link| link.number == number) {
            // A link opens one session.
            let _ = link.epoch.set(epoch);
            self.tell(terminal, link, true, trace);
        }
    }

    fn tell(&self, terminal: TerminalId, link: &Link, is_up: bool, trace: Option<Traceparent>) {
        // An error only says that nobody follows.
        let _ = self.changes.send(LinkChange { terminal, stamp: link.stamp(), is_up, trace });
    }

    /// All there are, and every change from then on, until the reader lags behind.
    pub(crate) fn follow(&self) -> (Vec<(TerminalId, LinkStamp)>, LinkChanges) {
        let links = self.by_terminal.read();
        let changes = BroadcastStream::new(self.changes.subscribe());
        let changes =
            changes.take_while(|change| future::ready(change.is_ok())).filter_map(async |change| change.ok());
        (links.iter().map(|(terminal, link)| (*terminal, link.stamp())).collect(), Box::pin(changes))
    }

    pub(crate) fn all(&self) -> Vec<(TerminalId, Arc<Link>)> {
        self.by_terminal.read().iter().map(|(terminal, link)| (*terminal, Arc::clone(link))).collect()
    }

    /// How many there are, as that changes.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
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
    use futures_util::FutureExt as _;

    use super::*;

    /// Of a 2013 terminal at 192.0.2.8 that dialled 192.0.2.7.
    pub(crate) fn link(number: u64) -> Arc<Link> {
        Arc::new(Link {
            number,
            sim: "13912345678".parse().expect("a SIM"),
            sim_bytes: 6,
            local: SocketAddr::from(([192, 0, 2, 7], 6608)),
            peer: IpAddr::from([192, 0, 2, 8]),
            is_spliced: false,
            since_ms: 1_000 * number.cast_signed(),
            epoch: OnceLock::new(),
            is_superseded: AtomicBool::new(false),
            renewed_at: Mutex::new(Instant::now()),
            redirect: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            code: Code::of(&Bytes::from_static(b"code \0")),
            redirect_form: ControlForm::default(),
            unchecked: None,
            newest: watch::Sender::default(),
            orders: mpsc::channel(1).0,
            course: Course::default(),
            attributes: watch::Sender::default(),
            close: CancellationToken::new(),
            ended: CancellationToken::new(),
        })
    }

    #[test]
    fn who_follows_the_links_hears_of_each_change_once_and_of_nothing_old() {
        let links = Links::default();
        let (one, two) = (TerminalId(1), TerminalId(2));
        let (first, second, third) =
            (link(links.next_number()), link(links.next_number()), link(links.next_number()));
        links.put(one, Arc::clone(&first));
        let (snapshot, mut changes) = links.follow();
        assert_eq!(snapshot, [(one, LinkStamp { epoch: None, since_ms: 1_000 })]);
        links.put(two, Arc::clone(&second));
        links.put(one, Arc::clone(&third));
        links.opened(one, first.number, 7, None);
        links.opened(one, third.number, 8, None);
        assert!(!links.remove(one, first.number));
        assert!(links.remove(two, second.number));
        let mut told = Vec::new();
        while let Some(Some(change)) = changes.next().now_or_never() {
            told.push((change.terminal, change.stamp.epoch, change.stamp.since_ms, change.is_up));
        }
        let expected = [
            (two, None, 2_000, true),
            (one, None, 3_000, true),
            (one, Some(8), 3_000, true),
            (two, None, 2_000, false),
        ];
        assert_eq!(told, expected);
        assert_eq!(links.follow().0, [(one, LinkStamp { epoch: Some(8), since_ms: 3_000 })]);
        assert_eq!(*links.count().borrow(), 1);

        for _ in 0..=CHANGES_MAX {
            links.put(one, Arc::clone(&first));
        }
        assert!(changes.next().now_or_never().is_some_and(|end| end.is_none()), "who lags behind asks anew");
    }

    #[test]
    fn epochs_count_where_both_are_known_and_clocks_where_not() {
        let stamp = |epoch, since_ms| LinkStamp { epoch, since_ms };
        assert!(stamp(Some(3), 10).is_newer_than(&stamp(Some(2), 20)));
        assert!(!stamp(Some(2), 20).is_newer_than(&stamp(Some(3), 10)));
        assert!(stamp(None, 20).is_newer_than(&stamp(Some(3), 10)));
        assert!(!stamp(Some(3), 10).is_newer_than(&stamp(None, 10)), "neither of two of one time");
        assert!(!stamp(None, 10).is_newer_than(&stamp(Some(3), 10)));
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
