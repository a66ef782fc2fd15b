//! The platform's side of one terminal link, without I/O.
//!
//! One input with its time ([`Session::receive`], [`Session::command`], the answers to events, [`Session::tick`]),
//! then [`Session::poll`] until it is empty, then wait for input or until [`Session::deadline`]. Knows the order of
//! messages, serial numbers, resending and splitting; knows no socket, no database, no vehicle.
//!
//! Until a code was accepted, only 0x0100 and 0x0102 are taken; everything else is counted and skipped. Bad frames
//! are counted and skipped too; the link is closed when it is silent or unauthenticated for too long, or when nothing
//! but noise comes.

mod commands;
mod output;
mod reports;
mod settings;
mod splits;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

pub use output::{
    Answer, CloseReason, Event, Outcome, Output, RegisterResult, ReplyTo, ReportSource, Ticket, Trouble,
};
pub use settings::Settings;

use crate::jt808::header::PACKAGE_BODY_BYTES_MAX;
use crate::jt808::message::{
    self, Authentication, GeneralReply, RegisterAnswer, Registration, ReplyResult, Retransmission,
};
use crate::jt808::reassembly::Reassembled;
use crate::jt808::{Deframer, Edition, Frame, FrameSettings, Header, Package, Phone, Text, frame, id};
use commands::{Commands, is_acknowledged_answer, is_plain_answer};
use reports::{Bodies, Held, Reports};
use splits::{Splits, last_package};

/// The largest body of a command, bytes: 64 packages, more than any message of the standard needs.
pub const COMMAND_BODY_MAX: usize = 64 * PACKAGE_BODY_BYTES_MAX;

/// How many registrations and authentications may wait to be decided: a hasty device repeats itself once or twice.
const LOGINS_MAX: usize = 4;
/// How many split commands are kept for a terminal that asks for packages again (0x0005).
const KEPT_SPLITS_MAX: usize = 4;
/// How often the packages of one split command are sent again: each ask is small and its answer is not.
const KEPT_RESENDS_MAX: u32 = 3;

/// A command on its way to the terminal: its message id and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downlink {
    /// The message id, such as 0x9101.
    pub id: u16,
    /// The body, at most [`COMMAND_BODY_MAX`] bytes; above 1,023 it is split.
    pub body: Bytes,
}

/// The platform's side of one link.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    deframer: Deframer,
    /// Stream position behind the last good frame.
    good_until: u64,
    last_good_at: Instant,
    /// Until when somebody must have authenticated.
    authenticate_until: Instant,
    /// The header of the 0x0102 that was accepted: downlinks take its form.
    peer: Option<Header>,
    logins: usize,
    serial: u16,
    splits: Splits,
    reports: Reports,
    commands: Commands,
    kept: VecDeque<KeptSplit>,
    outputs: VecDeque<Output>,
    closed: bool,
}

/// A split command that the terminal may ask packages of.
#[derive(Debug)]
struct KeptSplit {
    first_serial: u16,
    frames: Vec<Bytes>,
    resent: u32,
}

impl Session {
    /// A fresh link, connected at `now`.
    pub fn new(now: Instant, settings: Settings) -> Self {
        Self {
            deframer: Deframer::new(FrameSettings::default()),
            good_until: 0,
            last_good_at: now,
            authenticate_until: now + settings.authentication_limit,
            splits: Splits::of_nobody(&settings),
            settings,
            peer: None,
            logins: 0,
            serial: 0,
            reports: Reports::default(),
            commands: Commands::default(),
            kept: VecDeque::new(),
            outputs: VecDeque::new(),
            closed: false,
        }
    }

    /// Takes the whole frames off the front of `input`, whose last `count` bytes have just been read, and leaves an
    /// unfinished one. `count` 0 means that the other side closed the link. The same buffer comes each time.
    pub fn receive(&mut self, now: Instant, input: &mut BytesMut, count: usize) -> Result<(), CloseReason> {
        if count == 0 {
            self.closed = true;
            return Err(CloseReason::Ended);
        }
        while let Some(frame) = self.deframer.next(input) {
            match frame {
                Ok(frame) => {
                    self.good_until = self.deframer.offset();
                    self.last_good_at = now;
                    self.on_frame(now, frame);
                }
                Err(error) => self.trouble(error.kind.into()),
            }
        }
        let bytes =
            usize::try_from(self.deframer.offset().saturating_sub(self.good_until)).unwrap_or(usize::MAX);
        if bytes > self.settings.bad_bytes_max {
            self.closed = true;
            return Err(CloseReason::Noise { bytes });
        }
        Ok(())
    }

    /// Sends a command. Its end comes as [`Event::Answer`] with `token`.
    pub fn command(&mut self, now: Instant, token: u64, command: Downlink) {
        let Downlink { id, body } = command;
        let refused = match self.peer {
            None => Some(Answer::NotAuthenticated),
            Some(_) if self.commands.len() >= self.settings.commands_max => Some(Answer::Busy),
            Some(_) if body.len() > COMMAND_BODY_MAX => Some(Answer::TooLong),
            Some(_) => None,
        };
        if let Some(answer) = refused {
            self.event(Event::Answer { token, answer });
            return;
        }
        let Some(peer) = self.peer else { return };
        let first_serial = self.serial;
        let frames = self.frames(&peer, id, &body);
        if frames.len() > 1 {
            if self.kept.len() >= KEPT_SPLITS_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(KeptSplit { first_serial, frames: frames.clone(), resent: 0 });
        }
        self.outputs.extend(frames.iter().cloned().map(Output::Transmit));
        self.commands.push(now, token, id, first_serial, frames, &self.settings);
    }

    /// Answers [`Event::Register`]: 0x8100, with `code` where `result` is [`RegisterResult::Done`].
    pub fn registered(&mut self, _now: Instant, to: ReplyTo, result: RegisterResult, code: Option<&[u8]>) {
        self.logins = self.logins.saturating_sub(1);
        let answer = match result {
            RegisterResult::Done => RegisterAnswer::accepted(to.0.serial, code.unwrap_or_default()),
            refused => RegisterAnswer::refused(to.0.serial, message::RegisterResult(refused as u8)),
        };
        let mut body = Vec::new();
        answer.encode(&mut body, to.0.edition());
        self.send(&to.0, id::REGISTER_ANSWER, &body);
    }

    /// Answers [`Event::Authenticate`]. On `true` the link is the terminal's; on `false` it is nobody's, whoever had
    /// it before.
    pub fn authenticated(&mut self, now: Instant, to: ReplyTo, ok: bool) {
        self.logins = self.logins.saturating_sub(1);
        if ok {
            if self.peer.is_none() {
                self.splits = Splits::of_terminal(&self.settings);
            }
            self.peer = Some(to.0);
        } else if self.peer.take().is_some() {
            self.authenticate_until = now + self.settings.authentication_limit;
        }
        self.reply(&to.0, if ok { ReplyResult::OK } else { ReplyResult::FAILED });
    }

    /// Answers [`Event::Reports`]. Only [`Outcome::Stored`] sends an acknowledgement; after the other two there is
    /// none, so that the terminal keeps its copy and sends it again.
    pub fn stored(&mut self, _now: Instant, ticket: Ticket, outcome: Outcome) {
        let Some(Held { completing, last }) = self.reports.release(ticket) else { return };
        if outcome == Outcome::Stored {
            self.reply(&completing, ReplyResult::OK);
            if let Some(last) = last {
                self.reply(&last, ReplyResult::OK);
            }
        }
    }

    /// Answers [`Event::TimeAsked`] with the seconds since 1970-01-01 UTC. 0x8004 is the one message in UTC.
    pub fn time(&mut self, _now: Instant, to: ReplyTo, unix_s: u64) {
        self.send(&to.0, id::SERVER_TIME, &calendar(unix_s));
    }

    /// Lets time pass: resends, gives up, closes.
    pub fn tick(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.peer.is_none() && now >= self.authenticate_until {
            return self.close(CloseReason::NotAuthenticated);
        }
        if now >= self.last_good_at + self.settings.idle_limit {
            return self.close(CloseReason::Idle);
        }
        while let Some(due) = self.commands.due(now, &self.settings) {
            match due {
                commands::Due::Resend(frames) => {
                    self.outputs.extend(frames.into_iter().map(Output::Transmit))
                }
                commands::Due::GiveUp { token } => {
                    self.event(Event::Answer { token, answer: Answer::TimedOut })
                }
            }
        }
        while let Some(due) = self.splits.due(now, &self.settings) {
            match due {
                splits::Due::Ask { first_serial, missing } => self.ask_packages(first_serial, missing),
                splits::Due::Dropped(count) => {
                    (0..count).for_each(|_| self.trouble(Trouble::SplitDropped));
                }
            }
        }
    }

    /// The next thing to do, until None.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) is due if nothing else happens.
    pub fn deadline(&self) -> Instant {
        let idle = self.last_good_at + self.settings.idle_limit;
        let login = self.peer.is_none().then_some(self.authenticate_until);
        [login, self.commands.deadline(), self.splits.deadline(&self.settings)]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    /// False while so many messages of positions wait to be stored that the caller must not read on. What one read
    /// has brought already is still taken.
    pub fn wants_input(&self) -> bool {
        self.reports.len() < self.settings.reports_max
    }

    /// The phone number that was authenticated on this link.
    pub fn phone(&self) -> Option<&Phone> {
        self.peer.as_ref().map(|peer| &peer.phone)
    }

    /// The serial number of the next message to the terminal.
    pub fn next_serial(&self) -> u16 {
        self.serial
    }

    /// The edition of the link's header, once authenticated: 2019, or 2013 for both older ones.
    pub fn edition(&self) -> Option<Edition> {
        self.peer.map(|peer| peer.edition())
    }

    /// Changes the idle limit, once the terminal's heartbeat period is known.
    pub fn set_idle_limit(&mut self, limit: std::time::Duration) {
        self.settings.idle_limit = limit;
    }

    fn on_frame(&mut self, now: Instant, frame: Frame) {
        let header = frame.header;
        let id = header.id;
        match self.peer {
            None if !is_login(id) => return self.trouble(Trouble::BeforeAuthentication { id }),
            Some(peer) if !same_terminal(&peer.phone, &header.phone) => {
                return self.trouble(Trouble::ForeignPhone { id });
            }
            _ => {}
        }
        if header.encryption != 0 {
            self.reply(&header, ReplyResult::UNSUPPORTED);
            return self.trouble(Trouble::Encrypted { id });
        }
        match header.package {
            Some(_) if is_taken(id) => self.on_package(now, frame),
            _ => self.on_message(now, header, frame.body, None),
        }
    }

    fn on_package(&mut self, now: Instant, frame: Frame) {
        let header = frame.header;
        let (taken, dropped) = self.splits.take(now, frame);
        for _ in 0..dropped {
            self.trouble(Trouble::SplitDropped);
        }
        match taken {
            Ok(Reassembled::Whole(whole)) => self.on_message(now, header, whole.body, last_package(&header)),
            // Each package is answered, or devices stop after the first. But the acknowledgement of the last one may
            // be taken for that of the whole, which for positions must wait until they are stored.
            Ok(Reassembled::Waiting | Reassembled::Duplicate) => {
                let is_last = header.package.is_some_and(|package| package.index == package.total);
                if !(is_last && is_report(header.id)) {
                    self.reply(&header, ReplyResult::OK);
                }
            }
            Err(_) => {
                self.reply(&header, ReplyResult::WRONG);
                self.trouble(Trouble::SplitInvalid);
            }
        }
    }

    /// Takes a whole message. `last` is the header of its last package where another one completed it.
    fn on_message(&mut self, now: Instant, header: Header, body: Bytes, last: Option<Header>) {
        match header.id {
            id::REGISTER => self.on_register(header, body),
            id::AUTHENTICATE => self.on_authenticate(header, body),
            id::LOCATION_REPORT | id::LOCATION_BATCH => self.on_reports(header, body, last),
            id::HEARTBEAT => self.reply(&header, ReplyResult::OK),
            id::UNREGISTER => {
                self.reply(&header, ReplyResult::OK);
                self.event(Event::Unregister);
            }
            id::ASK_TIME => self.event(Event::TimeAsked { to: ReplyTo(header) }),
            id::TERMINAL_RETRANSMISSION => self.resend_packages(&header, &body),
            id::TERMINAL_REPLY => self.on_general_answer(now, header.edition(), &body),
            id if is_plain_answer(id) || is_acknowledged_answer(id) => self.on_own_answer(header, body),
            id => {
                self.reply(&header, ReplyResult::UNSUPPORTED);
                self.trouble(Trouble::Unsupported { id });
            }
        }
    }

    fn on_register(&mut self, header: Header, body: Bytes) {
        let id = header.id;
        if Registration::decode(&body, header.edition()).is_err() {
            self.reply(&header, ReplyResult::WRONG);
            return self.trouble(Trouble::Body { id });
        }
        if self.takes_login(id) {
            let (phone, edition) = (header.phone, header.edition());
            self.event(Event::Register { phone, edition, body, to: ReplyTo(header) });
        }
    }

    fn on_authenticate(&mut self, header: Header, body: Bytes) {
        let edition = header.edition();
        let Ok(Authentication { layout, code, imei, software }) = Authentication::decode(&body, edition)
        else {
            self.reply(&header, ReplyResult::WRONG);
            return self.trouble(Trouble::Body { id: header.id });
        };
        let of_2019 = |text: Text<'_>| (layout == Edition::V2019).then(|| body.slice_ref(text.trimmed()));
        let (code, imei, software) = (body.slice_ref(code.raw()), of_2019(imei), of_2019(software));
        if self.takes_login(header.id) {
            self.event(Event::Authenticate {
                phone: header.phone,
                edition,
                code,
                imei,
                software,
                to: ReplyTo(header),
            });
        }
    }

    fn takes_login(&mut self, id: u16) -> bool {
        if self.logins >= LOGINS_MAX {
            self.trouble(Trouble::BeforeAuthentication { id });
            return false;
        }
        self.logins += 1;
        true
    }

    fn on_reports(&mut self, header: Header, body: Bytes, last: Option<Header>) {
        let Some(Bodies { source, bodies, exact }) = Bodies::cut(header.id, header.edition(), body) else {
            self.reply(&header, ReplyResult::WRONG);
            return self.trouble(Trouble::Body { id: header.id });
        };
        if !exact {
            self.trouble(Trouble::BatchCount);
        }
        let ticket = self.reports.hold(Held { completing: header, last });
        self.event(Event::Reports { ticket, edition: header.edition(), source, bodies });
    }

    fn on_general_answer(&mut self, now: Instant, edition: Edition, body: &[u8]) {
        let Ok(GeneralReply { serial, id, result, .. }) = GeneralReply::decode(body, edition) else {
            return self.trouble(Trouble::Body { id: id::TERMINAL_REPLY });
        };
        match self.commands.on_general(now, serial, id, result.0, &self.settings) {
            Ok(Some((token, answer))) => self.event(Event::Answer { token, answer }),
            Ok(None) => {}
            Err(commands::Unmatched) => self.trouble(Trouble::UnmatchedAnswer { id }),
        }
    }

    fn on_own_answer(&mut self, header: Header, body: Bytes) {
        let id = header.id;
        let token = self.commands.on_own(id, &body);
        if is_acknowledged_answer(id) {
            self.reply(&header, if token.is_some() { ReplyResult::OK } else { ReplyResult::UNSUPPORTED });
        }
        match token {
            Some(token) => self.event(Event::Answer { token, answer: Answer::Message { id, body } }),
            None => self.trouble(Trouble::UnmatchedAnswer { id }),
        }
    }

    /// Answers 0x0005: exactly the packages that it names, unchanged.
    fn resend_packages(&mut self, header: &Header, body: &[u8]) {
        let Ok(asked) = Retransmission::decode(body, header.edition()) else {
            return self.trouble(Trouble::Body { id: header.id });
        };
        let resendable =
            |kept: &&mut KeptSplit| kept.first_serial == asked.first_serial && kept.resent < KEPT_RESENDS_MAX;
        let Some(kept) = self.kept.iter_mut().find(resendable) else {
            return self.trouble(Trouble::ResendUnknown);
        };
        kept.resent += 1;
        for index in asked.indexes.into_iter().take(kept.frames.len()) {
            let frame = usize::from(index).checked_sub(1).and_then(|place| kept.frames.get(place));
            self.outputs.extend(frame.cloned().map(Output::Transmit));
        }
    }

    /// Sends 0x8003. Nothing is asked of a link that nobody has authenticated on.
    fn ask_packages(&mut self, first_serial: u16, mut missing: Vec<u16>) {
        let Some(peer) = self.peer else { return };
        // What one message cannot name is asked for the next time.
        missing.truncate(Retransmission::INDEXES_MAX_2013);
        let mut body = Vec::new();
        Retransmission::new(first_serial, missing).encode(&mut body, peer.edition());
        self.send(&peer, id::PLATFORM_RETRANSMISSION, &body);
    }

    /// Sends 0x8001.
    fn reply(&mut self, to: &Header, result: ReplyResult) {
        let mut body = Vec::with_capacity(5);
        GeneralReply::new(to.serial, to.id, result).encode(&mut body, to.edition());
        self.send(to, id::PLATFORM_REPLY, &body);
    }

    fn send(&mut self, to: &Header, id: u16, body: &[u8]) {
        let frames = self.frames(to, id, body);
        self.outputs.extend(frames.into_iter().map(Output::Transmit));
    }

    /// The frames of one message, in the form of the header that it answers: its phone bytes and version verbatim.
    fn frames(&mut self, to: &Header, id: u16, body: &[u8]) -> Vec<Bytes> {
        let header = to.answer(id, self.serial);
        let mut frames = Vec::with_capacity(1);
        if body.len() <= PACKAGE_BODY_BYTES_MAX {
            frames.push(encoded(&header, body));
        } else {
            let total = u16::try_from(body.len().div_ceil(PACKAGE_BODY_BYTES_MAX)).unwrap_or(u16::MAX);
            for (index, part) in (1..=total).zip(body.chunks(PACKAGE_BODY_BYTES_MAX)) {
                let serial = self.serial.wrapping_add(index - 1);
                frames.push(encoded(
                    &Header { serial, package: Some(Package { total, index }), ..header },
                    part,
                ));
            }
        }
        self.serial = self.serial.wrapping_add(frames.len() as u16);
        frames
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.event(Event::Trouble(trouble));
    }

    fn close(&mut self, reason: CloseReason) {
        self.closed = true;
        self.outputs.push_back(Output::Close(reason));
    }
}

fn encoded(header: &Header, body: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(header.bytes_len() + body.len() + 8);
    frame::encode(header, body, &mut out);
    out.into()
}

fn is_login(id: u16) -> bool {
    matches!(id, id::REGISTER | id::AUTHENTICATE)
}

fn is_report(id: u16) -> bool {
    matches!(id, id::LOCATION_REPORT | id::LOCATION_BATCH)
}

/// Whether packages of a message are worth collecting: for others each package gets its own refusal.
fn is_taken(id: u16) -> bool {
    is_login(id) || is_report(id) || is_plain_answer(id) || is_acknowledged_answer(id)
}

/// BCD YY MM DD hh mm ss of a Unix time.
fn calendar(unix_s: u64) -> [u8; 6] {
    let (day, second) = (unix_s / 86_400, unix_s % 86_400);
    // Days to year, month, day in the Gregorian calendar with years that begin in March (H. Hinnant).
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    [year % 100, month, day, second / 3_600, second / 60 % 60, second % 60]
        .map(|field| (((field / 10) << 4) | (field % 10)) as u8)
}

/// Whether two phone fields are of one terminal: a device may change the header's form, which adds leading zeros.
fn same_terminal(one: &Phone, other: &Phone) -> bool {
    let significant = |phone: &Phone| {
        let bytes = phone.as_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..).unwrap_or_default().to_vec()
    };
    one == other || significant(one) == significant(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_to_calendar() {
        let hex = |unix_s| hex::encode(calendar(unix_s));
        assert_eq!(hex(0), "700101000000");
        assert_eq!(hex(951_782_399), "000228235959");
        assert_eq!(hex(951_782_400), "000229000000");
        assert_eq!(hex(1_795_321_845), "261122043045");
        assert_eq!(hex(4_107_542_399), "000228235959", "2100 has no 29 February");
        assert_eq!(hex(4_107_542_400), "000301000000");
    }
}
