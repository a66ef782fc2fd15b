//! The platform's side of an 808 link: no report before authentication, every event answered in any order and
//! at any time, every byte sent a frame that can be read.
#![no_main]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use protocol::jt808::server::{Downlink, Event, Outcome, Output, RegisterResult, Session, Settings, Ticket};
use protocol::jt808::{Deframer, Edition, FrameSettings, Header, Phone, frame};

fuzz_target!(|input: &[u8]| {
    let mut link = Link::new();
    let mut rest = input;
    while let [step, length, later @ ..] = rest
        && link.open
    {
        let (bytes, later) = later.split_at(later.len().min(usize::from(*length)));
        rest = later;
        link.step(*step, bytes);
    }
});

struct Link {
    session: Session,
    buffer: BytesMut,
    now: Instant,
    serial: u16,
    /// What this side answered last; the session must have taken it to heart.
    authenticated: bool,
    /// Whether the next log-ins are accepted.
    accept: bool,
    tickets: Vec<Ticket>,
    commands_open: u64,
    open: bool,
}

impl Link {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(now, Settings::default()),
            buffer: BytesMut::new(),
            now,
            serial: 0,
            authenticated: false,
            accept: true,
            tickets: Vec::new(),
            commands_open: 0,
            open: true,
        }
    }

    fn step(&mut self, step: u8, bytes: &[u8]) {
        match step {
            // raw bytes
            0..64 => self.receive(bytes),
            // a good frame of a message that the session knows, around any body
            64..192 => {
                const IDS: [u16; 16] = [
                    0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0100, 0x0102, 0x0102, 0x0102, 0x0104, 0x0200,
                    0x0200, 0x0201, 0x0704, 0x0704, 0x1003,
                ];
                let edition = if step & 16 == 0 { Edition::V2013 } else { Edition::V2019 };
                let phone = Phone::Short([1, 0x39, 0, 0, 0, step >> 6]);
                let header = Header::new(IDS[usize::from(step & 15)], edition, phone, self.serial);
                self.serial = self.serial.wrapping_add(1);
                let mut wire = Vec::new();
                let package_bytes = if step & 32 == 0 { 1023 } else { 20 };
                if let Some(serials) = frame::encode_split(&header, bytes, package_bytes, &mut wire) {
                    self.serial = self.serial.wrapping_add(serials);
                }
                self.receive(&wire);
            }
            192..208 => {
                self.now += Duration::from_secs(u64::from(step & 15));
                self.session.tick(self.now);
            }
            208..216 => self.accept = step & 1 == 0,
            216..232 => {
                const IDS: [u16; 4] = [0x9101, 0x9003, 0x8104, 0x8103];
                self.commands_open += 1;
                let body = Bytes::copy_from_slice(bytes).repeat(if step & 8 == 0 { 1 } else { 9 });
                let command = Downlink { id: IDS[usize::from(step & 3)], body: body.into() };
                self.session.command(self.now, u64::from(step), command);
            }
            _ => {
                if let Some(ticket) = self.tickets.pop() {
                    let outcome = [Outcome::Stored, Outcome::Failed, Outcome::Unknown][usize::from(step) % 3];
                    self.session.stored(self.now, ticket, outcome);
                }
            }
        }
        self.drain();
        // a deadline in the past right after a tick would spin the caller's loop
        let ticked = (192..208).contains(&step);
        assert!(!ticked || !self.open || self.session.deadline() >= self.now);
    }

    fn receive(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || !self.session.wants_input() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.session.receive(self.now, &mut self.buffer, bytes.len()).is_err() {
            self.open = false;
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Transmit(wire) => {
                    let (mut deframer, mut buffer) =
                        (Deframer::new(FrameSettings::default()), BytesMut::from(&wire[..]));
                    let read = deframer.next(&mut buffer).expect("a frame was sent").expect("a good one");
                    assert!(read.length_agrees());
                    let mut again = Vec::new();
                    frame::encode(&read.header, &read.body, &mut again);
                    assert_eq!(again, wire);
                }
                Output::Event(event) => self.answer(event),
                Output::Close(_) => self.open = false,
            }
        }
    }

    fn answer(&mut self, event: Event) {
        match event {
            Event::Register { to, .. } => {
                let result = if self.accept { RegisterResult::Done } else { RegisterResult::NoSuchVehicle };
                self.session.registered(self.now, to, result, self.accept.then_some(&b"code"[..]));
            }
            Event::Authenticate { to, .. } => {
                self.session.authenticated(self.now, to, self.accept);
                self.authenticated = self.accept;
            }
            Event::Reports { ticket, bodies, .. } => {
                assert!(self.authenticated, "a report before authentication");
                assert!(!bodies.is_empty());
                self.tickets.push(ticket);
            }
            Event::Answer { .. } => {
                self.commands_open = self.commands_open.checked_sub(1).expect("one answer for each command");
            }
            Event::TimeAsked { to } => self.session.time(self.now, to, 1_700_000_000),
            Event::Unregister => assert!(self.authenticated, "a terminal left before authentication"),
            Event::Trouble(_) => {}
        }
    }
}
