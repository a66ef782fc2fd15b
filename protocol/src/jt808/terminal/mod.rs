//! The terminal's side of its link, without I/O: what a device does, for the simulator and for tests of the platform.
//!
//! A [`Session`] lasts longer than one connection: it keeps its code, its serial numbers and every report until it is
//! acknowledged. Inputs with their time, then [`Session::poll`] until it is empty, then wait until
//! [`Session::deadline`]. It is written apart from the platform's side on purpose and shares no encoder with it.

mod control;
mod decode;
mod encode;
mod kept;
mod output;
mod parameter;
mod settings;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

pub use control::{Connect, Control};
pub use encode::Location;
pub use output::{CloseReason, Event, Output, Resend};
pub use parameter::Parameter;
pub use settings::{Identity, Settings};

use crate::jt808::Edition;
use crate::reader::Reader;
use decode::{Collector, Downlink, FRAME_MAX};
use kept::Kept;

/// How many answers are remembered, so that a command that comes again is answered again and not done again.
const ANSWERED_MAX: usize = 16;
/// How long a split command may stand still before its missing packages are asked for.
const PACKAGE_WAIT: Duration = Duration::from_secs(5);
/// How long a terminal with nothing to wait for lets [`Session::deadline`] sleep.
const LONG: Duration = Duration::from_secs(3600);

/// One terminal.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    link: Link,
    registered_on_this_link: bool,
    /// The code shown on this link came with the command that sent the terminal there and is not its own.
    code_is_lent: bool,
    serial: u16,
    code: Option<Bytes>,
    last_sent: Instant,
    kept: Kept,
    waiting: VecDeque<Waiting>,
    collector: Collector,
    /// When the packages that the collector lacks are asked for.
    collector_due: Option<Instant>,
    answered: VecDeque<Answered>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Registering,
    Authenticating,
    Up,
}

/// A message that wants an answer.
#[derive(Debug)]
struct Waiting {
    id: u16,
    first_serial: u16,
    frames: Vec<Bytes>,
    /// The reports that it carries.
    keys: Vec<u64>,
    attempt: u32,
    wait: Duration,
    /// None once another message has taken its place; a late answer still counts.
    due: Option<Instant>,
}

impl Waiting {
    fn last_serial(&self) -> u16 {
        self.first_serial.wrapping_add(self.frames.len().saturating_sub(1) as u16)
    }
}

#[derive(Debug)]
struct Answered {
    id: u16,
    serial: u16,
    frames: Vec<Bytes>,
}

impl Session {
    /// A terminal that is not connected yet.
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self {
            code: settings.code.clone(),
            kept: Kept::new(settings.kept_max),
            settings,
            link: Link::Down,
            registered_on_this_link: false,
            code_is_lent: false,
            serial: 0,
            last_sent: now,
            waiting: VecDeque::new(),
            collector: Collector::default(),
            collector_due: None,
            answered: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The link is up: authenticates, or registers first where there is no code.
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        match self.code.clone() {
            Some(code) => self.authenticate(now, &code),
            None => self.register(now),
        }
    }

    /// The link to a server that the terminal was sent to (0x8105 command 2) is up: authenticates with the code that came
    /// with the command. Its own code is kept for its own server; where the lent one is refused, the link is to be
    /// closed and nothing is registered.
    pub fn connected_with(&mut self, now: Instant, lent_code: &[u8]) {
        self.disconnected();
        self.code_is_lent = true;
        self.authenticate(now, lent_code);
    }

    /// The link is gone: what was not acknowledged goes out again after the next authentication.
    pub fn disconnected(&mut self) {
        self.link = Link::Down;
        self.registered_on_this_link = false;
        self.code_is_lent = false;
        self.waiting.clear();
        self.answered.clear();
        self.collector = Collector::default();
        self.collector_due = None;
        self.outputs.retain(|output| matches!(output, Output::Event(_)));
        self.kept.return_all();
    }

    /// Takes the whole frames off the front of `input`, whose last `count` bytes have just been read, and leaves an
    /// unfinished one. `count` 0 means that the platform closed the link.
    pub fn receive(&mut self, now: Instant, input: &mut BytesMut, count: usize) -> Result<(), CloseReason> {
        if count == 0 {
            return Err(CloseReason::Ended);
        }
        while let Some(downlink) = decode::next(self.settings.edition, input) {
            if let Some(downlink) = downlink {
                self.on_downlink(now, downlink);
            }
        }
        if input.len() > 2 * FRAME_MAX { Err(CloseReason::Noise { bytes: input.len() }) } else { Ok(()) }
    }

    /// Reports a location. It goes out at once when the link is up, later in a 0x0704 otherwise, and is kept until
    /// [`Event::Acknowledged`] brings `key` back. Keys are unique and rise.
    pub fn report(&mut self, now: Instant, key: u64, body: Bytes) {
        if let Some(key) = self.kept.insert(key, body.clone()) {
            self.event(Event::Dropped { key });
        }
        if self.link == Link::Up && self.waiting.len() < self.settings.in_flight_max {
            self.kept.take(key);
            self.send(now, 0x0200, &body, vec![key], 0);
        }
    }

    /// Sends a report again although its acknowledgement is not due yet, as devices in the field do. False where the
    /// report is not kept any more, was never sent on this link, or the link is down.
    pub fn resend(&mut self, now: Instant, key: u64, kind: Resend) -> bool {
        let sent = self.waiting.iter().position(|w| w.id == 0x0200 && w.keys.contains(&key));
        let (Link::Up, Some(index), Some(body)) = (self.link, sent, self.kept.body(key)) else {
            return false;
        };
        match kind {
            Resend::SameSerial => {
                let frames = self.waiting.get(index).map(|w| w.frames.clone()).unwrap_or_default();
                self.transmit(now, frames);
            }
            Resend::NewSerial => self.send(now, 0x0200, &body, vec![key], 0),
            Resend::Batch => self.send(now, 0x0704, &encode::backfill([body].iter()), vec![key], 0),
        }
        self.event(Event::Resent { key, kind });
        true
    }

    /// Leaves the vehicle for good (0x0003).
    pub fn unregister(&mut self, now: Instant) {
        if self.link == Link::Up {
            self.send(now, 0x0003, &[], Vec::new(), 0);
        }
    }

    /// Answers a command with 0x0001.
    pub fn answer(&mut self, now: Instant, id: u16, serial: u16, result: u8) {
        self.answer_with(now, id, serial, 0x0001, &encode::general_answer(serial, id, result));
    }

    /// Answers a command with a message of its own kind, such as 0x1003.
    pub fn answer_with(&mut self, now: Instant, id: u16, serial: u16, answer_id: u16, body: &[u8]) {
        if self.link != Link::Up {
            return;
        }
        let frames = self.frames(answer_id, body);
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.pop_front();
        }
        self.answered.push_back(Answered { id, serial, frames: frames.clone() });
        self.transmit(now, frames);
    }

    /// Lets time pass: heartbeats, resends, gives up.
    pub fn tick(&mut self, now: Instant) {
        if self.link == Link::Down {
            return;
        }
        while let Some(index) = self.waiting.iter().position(|w| w.due.is_some_and(|due| due <= now)) {
            if !self.resend_overdue(now, index) {
                return;
            }
        }
        if self.collector_due.is_some_and(|due| due <= now) {
            self.collector_due = None;
            if let (Edition::V2019, Some((first, missing))) =
                (self.settings.edition, self.collector.missing())
            {
                let frames = self.frames(0x0005, &encode::package_request(first, &missing));
                self.transmit(now, frames);
            }
        }
        if self.link == Link::Up && now >= self.last_sent + self.settings.heartbeat {
            self.send(now, 0x0002, &[], Vec::new(), 0);
        }
        self.send_backlog(now);
    }

    /// The next thing to do, until None.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) is due if nothing else happens.
    pub fn deadline(&self) -> Instant {
        let heartbeat = (self.link == Link::Up).then(|| self.last_sent + self.settings.heartbeat);
        let waiting = self.waiting.iter().filter_map(|w| w.due).min();
        [heartbeat, waiting, self.collector_due].into_iter().flatten().min().unwrap_or(self.last_sent + LONG)
    }

    /// Whether the platform has taken the code on this link.
    pub fn is_authenticated(&self) -> bool {
        self.link == Link::Up
    }

    /// How many reports are not acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.kept.len()
    }

    fn register(&mut self, now: Instant) {
        self.link = Link::Registering;
        self.registered_on_this_link = true;
        let body = encode::registration(self.settings.edition, &self.settings.identity);
        self.send(now, 0x0100, &body, Vec::new(), 0);
    }

    fn authenticate(&mut self, now: Instant, code: &[u8]) {
        self.link = Link::Authenticating;
        let body = encode::authentication(&self.settings, code);
        self.send(now, 0x0102, &body, Vec::new(), 0);
    }

    fn on_downlink(&mut self, now: Instant, downlink: Downlink) {
        let split = downlink.package.is_some();
        let Some(Downlink { id, serial, body, .. }) = self.collector.take(downlink) else {
            self.collector_due = Some(now + PACKAGE_WAIT);
            return;
        };
        if split {
            self.collector_due = None;
        }
        if self.settings.tells_messages {
            self.event(Event::Received { id, serial });
        }
        let mut reader = Reader::new(&body);
        match id {
            0x8001 => {
                if let (Ok(serial), Ok(id), Ok(result)) = (reader.u16(), reader.u16(), reader.u8()) {
                    self.on_general_answer(now, serial, id, result);
                }
            }
            0x8100 => {
                if let (Ok(serial), Ok(result)) = (reader.u16(), reader.u8()) {
                    self.on_register_answer(now, serial, result, reader.take_rest());
                }
            }
            0x8003 => {
                if let Ok(first) = reader.u16() {
                    self.resend_packages(now, first, &mut reader);
                }
            }
            0x8004 => {
                if let Ok(time) = reader.array() {
                    self.event(Event::Time(time));
                }
            }
            // Nothing but its own log-in happens on a link that is not authenticated.
            _ if self.link != Link::Up => {}
            0x8204 => self.answer(now, id, serial, 0),
            _ => match self.answered.iter().find(|a| (a.id, a.serial) == (id, serial)) {
                Some(answered) => {
                    let frames = answered.frames.clone();
                    self.transmit(now, frames);
                }
                None => self.event(Event::Command { id, serial, body }),
            },
        }
    }

    fn on_general_answer(&mut self, now: Instant, serial: u16, id: u16, result: u8) {
        // A package of a longer message is acknowledged by itself; the whole is by its last package.
        let Some(index) = self.waiting.iter().position(|w| w.id == id && w.last_serial() == serial) else {
            return;
        };
        let Some(waiting) = self.waiting.remove(index) else { return };
        match id {
            0x0102 if self.link == Link::Authenticating => self.on_authentication_answer(now, result),
            // 1 is a failure that may pass: the report stays and the time-out sends it again.
            0x0200 | 0x0704 if result == 1 => self.waiting.push_back(waiting),
            0x0200 | 0x0704 => {
                for key in waiting.keys {
                    if self.kept.remove(key) {
                        self.event(match result {
                            0 | 4 => Event::Acknowledged { key },
                            result => Event::Refused { key, result },
                        });
                    }
                }
                let kept = &self.kept;
                self.waiting
                    .retain(|w| w.keys.is_empty() || w.keys.iter().any(|key| kept.body(*key).is_some()));
                self.send_backlog(now);
            }
            _ => {}
        }
    }

    fn on_authentication_answer(&mut self, now: Instant, result: u8) {
        if result == 0 {
            self.link = Link::Up;
            self.event(Event::Authenticated);
            self.send_backlog(now);
            return;
        }
        self.event(Event::AuthenticationRefused);
        if !self.code_is_lent {
            self.code = None;
        }
        if self.registered_on_this_link || self.code_is_lent {
            self.outputs.push_back(Output::Close(CloseReason::AuthenticationRefused));
        } else {
            self.register(now);
        }
    }

    fn on_register_answer(&mut self, now: Instant, serial: u16, result: u8, code: &[u8]) {
        let waits = |w: &Waiting| w.id == 0x0100 && w.last_serial() == serial;
        let Some(index) = self.waiting.iter().position(waits) else { return };
        self.waiting.remove(index);
        if result != 0 {
            self.event(Event::RegistrationRefused { result });
            self.outputs.push_back(Output::Close(CloseReason::RegistrationRefused { result }));
            return;
        }
        let code = Bytes::copy_from_slice(code);
        self.code = Some(code.clone());
        self.event(Event::Registered { code: code.clone() });
        self.authenticate(now, &code);
    }

    fn resend_packages(&mut self, now: Instant, first_serial: u16, reader: &mut Reader<'_>) {
        let count = match self.settings.edition {
            Edition::V2019 => reader.u16().unwrap_or(0),
            Edition::V2011 | Edition::V2013 => reader.u8().unwrap_or(0).into(),
        };
        let Some(waiting) = self.waiting.iter().find(|w| w.first_serial == first_serial) else { return };
        let frames: Vec<Bytes> = (0..count)
            .map_while(|_| reader.u16().ok())
            .filter_map(|index| waiting.frames.get(usize::from(index).checked_sub(1)?).cloned())
            .collect();
        self.transmit(now, frames);
    }

    /// Sends the overdue message at `index` again; false when the link counts as dead.
    fn resend_overdue(&mut self, now: Instant, index: usize) -> bool {
        let Some(waiting) = self.waiting.get_mut(index) else { return true };
        let id = waiting.id;
        if waiting.attempt >= self.settings.resends {
            self.outputs.push_back(Output::Close(CloseReason::Unanswered { id }));
            waiting.due = None;
            return false;
        }
        let kinds = &self.settings.resend_kinds;
        let kind = match kinds.get(waiting.attempt as usize).or(kinds.last()) {
            Some(kind) if id == 0x0200 => *kind,
            _ => Resend::SameSerial,
        };
        waiting.attempt += 1;
        // T(N+1) = T(N) x (N+1), JT/T 808-2019.
        waiting.wait *= waiting.attempt + 1;
        let (attempt, keys) = (waiting.attempt, waiting.keys.clone());
        match (kind, keys.first().and_then(|key| self.kept.body(*key))) {
            (Resend::NewSerial, Some(body)) => {
                waiting.due = None;
                self.send(now, 0x0200, &body, keys.clone(), attempt);
            }
            (Resend::Batch, Some(body)) => {
                waiting.due = None;
                self.send(now, 0x0704, &encode::backfill([body].iter()), keys.clone(), attempt);
            }
            _ => {
                waiting.due = Some(now + waiting.wait);
                let frames = waiting.frames.clone();
                self.transmit(now, frames);
            }
        }
        for key in keys {
            self.event(Event::Resent { key, kind: if id == 0x0704 { Resend::Batch } else { kind } });
        }
        true
    }

    /// Sends kept reports that are not under way: in 0x0704, or one by one in the 2011 edition, which has none.
    fn send_backlog(&mut self, now: Instant) {
        if self.link != Link::Up {
            return;
        }
        let single = self.settings.edition == Edition::V2011;
        let (id, size) = if single { (0x0200, 1) } else { (0x0704, self.settings.batch_max) };
        while self.waiting.iter().filter(|w| w.id == id).count() < self.settings.batches_in_flight_max {
            let batch = self.kept.take_oldest(size);
            if batch.is_empty() {
                return;
            }
            let kind = if single { Resend::NewSerial } else { Resend::Batch };
            for taken in batch.iter().filter(|taken| taken.sent_before) {
                self.event(Event::Resent { key: taken.key, kind });
            }
            let keys = batch.iter().map(|taken| taken.key).collect();
            let body = match batch.first() {
                Some(taken) if single => taken.body.clone(),
                _ => encode::backfill(batch.iter().map(|taken| &taken.body)),
            };
            self.send(now, id, &body, keys, 0);
        }
    }

    fn send(&mut self, now: Instant, id: u16, body: &[u8], keys: Vec<u64>, attempt: u32) {
        let first_serial = self.serial;
        let frames = self.frames(id, body);
        let wait = (1..=attempt).fold(self.settings.answer_timeout, |wait, n| wait * (n + 1));
        self.waiting.push_back(Waiting {
            id,
            first_serial,
            frames: frames.clone(),
            keys,
            attempt,
            wait,
            due: Some(now + wait),
        });
        self.transmit(now, frames);
    }

    fn frames(&mut self, id: u16, body: &[u8]) -> Vec<Bytes> {
        let frames = encode::frames(&self.settings, id, self.serial, body);
        self.serial = self.serial.wrapping_add(frames.len() as u16);
        if self.settings.tells_messages {
            self.event(Event::Sent { id, serial: self.serial.wrapping_sub(1) });
        }
        frames
    }

    fn transmit(&mut self, now: Instant, frames: Vec<Bytes>) {
        if !frames.is_empty() {
            self.last_sent = now;
        }
        self.outputs.extend(frames.into_iter().map(Output::Transmit));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
