//! Split messages on their way in: which packages to ask for again and when, on top of the [`Reassembler`].

use std::collections::BTreeMap;
use std::time::Instant;

use super::Settings;
use crate::jt808::reassembly::{Reassembled, ReassemblyError};
use crate::jt808::{Frame, Header, Reassembler, ReassemblySettings};

/// What a link may hold before anybody is known: no registration needs a second package, but 2019 allows one.
const LOGIN_BYTES_MAX: usize = 4 * 1024;
/// The largest split message of a terminal, bytes. The longest list of recordings met has 33 KiB.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// How many split messages one link may have under way. Terminals send one at a time; a second one may begin before
/// the missing packages of the first have come again.
const MESSAGES_MAX: usize = 4;

/// The split messages of one link.
#[derive(Debug)]
pub(super) struct Splits {
    reassembler: Reassembler,
    /// How often packages of a message were asked for, and when that was last, by message id and first serial.
    asked: BTreeMap<(u16, u16), (u32, Instant)>,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Ask for packages `missing` of the message whose first one had `first_serial`.
    Ask { first_serial: u16, missing: Vec<u16> },
    /// So many messages were given up.
    Dropped(usize),
}

impl Splits {
    /// For a link that nobody has authenticated on.
    pub(super) fn of_nobody(settings: &Settings) -> Self {
        Self::bounded(settings, 1, LOGIN_BYTES_MAX)
    }

    /// For the link of a known terminal.
    pub(super) fn of_terminal(settings: &Settings) -> Self {
        Self::bounded(settings, MESSAGES_MAX, MESSAGE_BYTES_MAX)
    }

    fn bounded(settings: &Settings, messages_max: usize, message_bytes_max: usize) -> Self {
        let reassembler = Reassembler::new(ReassemblySettings {
            message_bytes_max,
            messages_max,
            bytes_max: 2 * message_bytes_max,
            age_max: settings.split_limit,
        });
        Self { reassembler, asked: BTreeMap::new() }
    }

    /// Takes a package, or a message that is not split. Beside what it led to: how many other messages had to go.
    pub(super) fn take(
        &mut self,
        now: Instant,
        frame: Frame,
    ) -> (Result<Reassembled, ReassemblyError>, usize) {
        let lost = |counts: crate::jt808::reassembly::ReassemblyCounts| counts.expired + counts.evicted;
        let before = lost(self.reassembler.counts());
        let taken = self.reassembler.push(now, frame);
        let dropped = lost(self.reassembler.counts()) - before;
        (taken, usize::try_from(dropped).unwrap_or(usize::MAX))
    }

    /// What is due at `now`, until None.
    pub(super) fn due(&mut self, now: Instant, settings: &Settings) -> Option<Due> {
        let dropped = self.reassembler.expire(now);
        if dropped > 0 {
            return Some(Due::Dropped(dropped));
        }
        let open: Vec<_> = self.reassembler.incomplete().map(|m| (m.id, m.first_serial)).collect();
        self.asked.retain(|key, _| open.contains(key));
        let (key, missing) = self.reassembler.incomplete().find_map(|message| {
            let key = (message.id, message.first_serial);
            let due = self.ask_at(key, message.progressed_at, settings)? <= now;
            due.then(|| (key, message.missing().collect()))
        })?;
        let (asked, at) = self.asked.entry(key).or_insert((0, now));
        (*asked, *at) = (*asked + 1, now);
        Some(Due::Ask { first_serial: key.1, missing })
    }

    pub(super) fn deadline(&self, settings: &Settings) -> Option<Instant> {
        let asks = self.reassembler.incomplete().filter_map(|message| {
            self.ask_at((message.id, message.first_serial), message.progressed_at, settings)
        });
        asks.chain(self.reassembler.deadline()).min()
    }

    /// When packages of a message are asked for the next time, if they still are.
    fn ask_at(&self, key: (u16, u16), progressed_at: Instant, settings: &Settings) -> Option<Instant> {
        let since = match self.asked.get(&key) {
            Some((asked, _)) if *asked >= settings.package_asks => return None,
            Some((_, at)) => progressed_at.max(*at),
            None => progressed_at,
        };
        Some(since + settings.package_wait)
    }
}

/// The header of the highest package of a message that `completing` made whole, where that is another one.
pub(super) fn last_package(completing: &Header) -> Option<Header> {
    let package = completing.package.filter(|package| package.index < package.total)?;
    let serial = completing.serial.wrapping_add(package.total - package.index);
    Some(Header { serial, ..*completing })
}
