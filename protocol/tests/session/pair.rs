//! A platform session and a terminal session joined by a wire that can lose, alter and record frames.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use protocol::jt808::server::{
    self, Answer, Downlink, Event, Outcome, RegisterResult, ReportSource, Ticket, Trouble,
};
use protocol::jt808::terminal::{self, Identity, Location};
use protocol::jt808::{Deframer, Edition, Frame, FrameSettings};

/// The code that [`Pair::log_in`] gives.
pub(crate) const CODE: &[u8] = b"K7-code";

type Filter = Box<dyn FnMut(&Frame) -> bool>;

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) server: server::Session,
    pub(crate) terminal: terminal::Session,
    server_input: BytesMut,
    terminal_input: BytesMut,
    /// What the sides reported, in order.
    pub(crate) events: Vec<Event>,
    pub(crate) terminal_events: Vec<terminal::Event>,
    pub(crate) server_closed: Option<server::CloseReason>,
    pub(crate) terminal_closed: Option<terminal::CloseReason>,
    /// Every frame that arrived.
    pub(crate) uplinks: Vec<Frame>,
    pub(crate) downlinks: Vec<Frame>,
    /// Which frames arrive; all where there is none.
    pub(crate) uplink_filter: Option<Filter>,
    pub(crate) downlink_filter: Option<Filter>,
}

pub(crate) fn settings(edition: Edition) -> terminal::Settings {
    let identity = Identity {
        province: 44,
        city: 300,
        maker: "MKR".into(),
        model: "MODEL".into(),
        terminal_id: "T000001".into(),
        plate_colour: 2,
        plate: "粤B12345".into(),
        imei: "861234567890123".into(),
        software: "1.0.3".into(),
    };
    terminal::Settings::new(edition, [0, 0, 0, 0, 0x01, 0x39, 0x12, 0x34, 0x56, 0x78], identity)
}

pub(crate) fn location(second: u8) -> Bytes {
    let time = [0x26, 0x11, 0x22, 0x12, 0x00, ((second / 10) << 4) | (second % 10)];
    Location { status: 3, latitude_e6: 22_540_000, longitude_e6: 114_050_000, time, ..Location::default() }
        .encode()
}

impl Pair {
    /// Connected, nothing said yet.
    pub(crate) fn new(edition: Edition) -> Self {
        Self::with(settings(edition), server::Settings::default())
    }

    pub(crate) fn with(terminal: terminal::Settings, server: server::Settings) -> Self {
        let now = Instant::now();
        let mut pair = Self {
            now,
            server: server::Session::new(now, server),
            terminal: terminal::Session::new(now, terminal),
            server_input: BytesMut::new(),
            terminal_input: BytesMut::new(),
            events: Vec::new(),
            terminal_events: Vec::new(),
            server_closed: None,
            terminal_closed: None,
            uplinks: Vec::new(),
            downlinks: Vec::new(),
            uplink_filter: None,
            downlink_filter: None,
        };
        pair.terminal.connected(now);
        pair.drive();
        pair
    }

    /// A pair whose terminal is registered and authenticated, with nothing recorded yet.
    pub(crate) fn logged_in(edition: Edition) -> Self {
        let mut pair = Self::new(edition);
        pair.log_in();
        pair
    }

    pub(crate) fn log_in(&mut self) {
        self.log_in_keeping();
        self.forget();
    }

    /// Connects the terminal again on the same link and logs in; what arrives stays recorded.
    pub(crate) fn reconnect(&mut self) {
        self.terminal.connected(self.now);
        self.drive();
        self.log_in_keeping();
    }

    /// Decides every log-in that waits.
    pub(crate) fn log_in_keeping(&mut self) {
        let is_login = |e: &Event| matches!(e, Event::Register { .. } | Event::Authenticate { .. });
        while let Some(index) = self.events.iter().position(is_login) {
            match self.events.remove(index) {
                Event::Register { to, .. } => {
                    self.server.registered(self.now, to, RegisterResult::Done, Some(CODE));
                }
                Event::Authenticate { to, code, .. } => self.server.authenticated(self.now, to, code == CODE),
                other => panic!("unexpected {other:?}"),
            }
            self.drive();
        }
        assert!(self.terminal.is_authenticated());
    }

    pub(crate) fn forget(&mut self) {
        self.events.clear();
        self.terminal_events.clear();
        self.uplinks.clear();
        self.downlinks.clear();
    }

    /// Carries everything that the sides have to say, until both are silent.
    pub(crate) fn drive(&mut self) {
        loop {
            let mut silent = true;
            while let Some(output) = self.terminal.poll() {
                silent = false;
                match output {
                    terminal::Output::Transmit(bytes) => self.deliver_up(&bytes),
                    terminal::Output::Event(event) => self.terminal_events.push(event),
                    terminal::Output::Close(reason) => self.terminal_closed = Some(reason),
                }
            }
            while let Some(output) = self.server.poll() {
                silent = false;
                match output {
                    server::Output::Transmit(bytes) => self.deliver_down(&bytes),
                    server::Output::Event(event) => self.events.push(event),
                    server::Output::Close(reason) => self.server_closed = Some(reason),
                }
            }
            if silent {
                return;
            }
        }
    }

    /// Raw bytes from the terminal's side of the wire.
    pub(crate) fn inject(&mut self, bytes: &[u8]) {
        self.server_input.extend_from_slice(bytes);
        if let Err(reason) = self.server.receive(self.now, &mut self.server_input, bytes.len()) {
            self.server_closed = Some(reason);
        }
        self.drive();
    }

    /// Lets `duration` pass, with a tick of each side whenever it wants one.
    pub(crate) fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let next = self.server.deadline().min(self.terminal.deadline());
            self.now = next.clamp(self.now, until);
            self.server.tick(self.now);
            self.terminal.tick(self.now);
            self.drive();
            if self.server_closed.is_some() || self.terminal_closed.is_some() || next > until {
                self.now = until;
                return;
            }
        }
    }

    pub(crate) fn report(&mut self, key: u64, second: u8) {
        self.terminal.report(self.now, key, location(second));
        self.drive();
    }

    pub(crate) fn store_all(&mut self, outcome: Outcome) {
        for ticket in self.tickets() {
            self.server.stored(self.now, ticket, outcome);
        }
        self.drive();
    }

    pub(crate) fn command(&mut self, token: u64, id: u16, body: &[u8]) {
        self.server.command(self.now, token, Downlink { id, body: Bytes::copy_from_slice(body) });
        self.drive();
    }

    /// The tickets of the reports that arrived.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        let ticket = |event: &Event| match event {
            Event::Reports { ticket, .. } => Some(*ticket),
            _ => None,
        };
        self.events.iter().filter_map(ticket).collect()
    }

    /// Kind and number of bodies of the reports that arrived.
    pub(crate) fn reports(&self) -> Vec<(ReportSource, usize)> {
        let report = |event: &Event| match event {
            Event::Reports { source, bodies, .. } => Some((*source, bodies.len())),
            _ => None,
        };
        self.events.iter().filter_map(report).collect()
    }

    pub(crate) fn answers(&self) -> Vec<(u64, Answer)> {
        let answer = |event: &Event| match event {
            Event::Answer { token, answer } => Some((*token, answer.clone())),
            _ => None,
        };
        self.events.iter().filter_map(answer).collect()
    }

    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        let trouble = |event: &Event| match event {
            Event::Trouble(trouble) => Some(*trouble),
            _ => None,
        };
        self.events.iter().filter_map(trouble).collect()
    }

    pub(crate) fn acknowledged(&self) -> Vec<u64> {
        let key = |event: &terminal::Event| match event {
            terminal::Event::Acknowledged { key } => Some(*key),
            _ => None,
        };
        self.terminal_events.iter().filter_map(key).collect()
    }

    /// The commands that reached the terminal: id, serial.
    pub(crate) fn commands(&self) -> Vec<(u16, u16)> {
        let command = |event: &terminal::Event| match event {
            terminal::Event::Command { id, serial, .. } => Some((*id, *serial)),
            _ => None,
        };
        self.terminal_events.iter().filter_map(command).collect()
    }

    pub(crate) fn uplink_ids(&self) -> Vec<u16> {
        self.uplinks.iter().map(|frame| frame.header.id).collect()
    }

    pub(crate) fn downlink_ids(&self) -> Vec<u16> {
        self.downlinks.iter().map(|frame| frame.header.id).collect()
    }

    fn deliver_up(&mut self, bytes: &[u8]) {
        let frame = parse(bytes);
        if self.uplink_filter.as_mut().is_none_or(|passes| passes(&frame)) {
            self.uplinks.push(frame);
            self.server_input.extend_from_slice(bytes);
            if let Err(reason) = self.server.receive(self.now, &mut self.server_input, bytes.len()) {
                self.server_closed = Some(reason);
            }
        }
    }

    fn deliver_down(&mut self, bytes: &[u8]) {
        let frame = parse(bytes);
        if self.downlink_filter.as_mut().is_none_or(|passes| passes(&frame)) {
            self.downlinks.push(frame);
            self.terminal_input.extend_from_slice(bytes);
            self.terminal
                .receive(self.now, &mut self.terminal_input, bytes.len())
                .expect("the platform is clean");
        }
    }
}

fn parse(bytes: &[u8]) -> Frame {
    let mut input = BytesMut::from(bytes);
    Deframer::new(FrameSettings::default()).next(&mut input).expect("a whole frame").expect("a good frame")
}
