//! The way of an admitted terminal from the login server to its gateway: told to go, gone, or spliced through.
//!
//! Knows not how it was admitted, nor how it is spliced.

use std::time::{Duration, Instant};

use access::terminal::control_form;
use cluster::Advertise;
use cluster::dispatch::Assignment;
use cluster::trace::{DeviceMessage, Message, Party, Step, StepTaken, Traceparent};
use model::{RedirectForm, Sim, TerminalId};
use protocol::jt808::id;
use protocol::jt808::message::Redirect;
use protocol::jt808::server::{Answer, Downlink};

use super::Conn;

/// The one command of a connection.
const SWITCH_TOKEN: u64 = 1;

/// How far a terminal has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// It has not authenticated.
    Stranger,
    /// It was told to go to its gateway, and has not answered.
    Told(Guest),
    /// It said it would go; if it is still here then, it is spliced through.
    Going { guest: Guest, until: Instant },
    /// It is to be spliced through.
    Passing(Guest),
}

/// An authenticated terminal.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) terminal: TerminalId,
    pub(super) sim: Sim,
    pub(super) assignment: Assignment,
    /// The serial number of its authentication.
    pub(super) serial: u16,
    /// The last step of its way, where that is traced.
    pub(super) trace: Option<Traceparent>,
}

impl Stage {
    pub(super) fn guest(&self) -> Option<&Guest> {
        match self {
            Self::Stranger => None,
            Self::Told(guest) | Self::Going { guest, .. } | Self::Passing(guest) => Some(guest),
        }
    }

    pub(super) fn ends_at(&self) -> Option<Instant> {
        match self {
            Self::Going { until, .. } => Some(*until),
            Self::Stranger | Self::Told(_) | Self::Passing(_) => None,
        }
    }
}

impl Conn {
    /// Tells the terminal to go to its gateway, unless that is known to be of no use.
    pub(super) fn tell(&mut self, mut guest: Guest, code: &[u8], form: RedirectForm) -> Stage {
        let settings = &self.desk.settings;
        let Assignment { node, dial, failed } = &guest.assignment;
        if *failed >= settings.redirect_failures_max
            || self.desk.stubborn.knows(Instant::now(), guest.terminal)
        {
            return Stage::Passing(guest);
        }
        let host = dial.host.clone().unwrap_or_else(|| self.local.ip().to_string());
        let redirect = Redirect {
            code: protocol::jt808::gbk::trim(code),
            host: &host,
            tcp_port: dial.port,
            udp_port: 0,
            limit_min: settings.redirect_limit_min,
        };
        let mut body = Vec::new();
        if let Err(error) = redirect.encode(&mut body, control_form(form)) {
            // A terminal with a code of its own; its command would be read as another one.
            tracing::debug!(terminal.sim = %guest.sim, %error, "spliced without being asked to go");
            return Stage::Passing(guest);
        }
        tracing::info!(terminal.sim = %guest.sim, node = %node, "terminal {} is sent to {node}", guest.sim);
        let told = DeviceMessage { id: id::TERMINAL_CONTROL, serial: self.session.next_serial() };
        guest.trace = self.desk.sent(guest.trace, node, guest.terminal, |login| StepTaken {
            phone: Some(guest.sim.clone()),
            terminal: Some(guest.terminal),
            gateway_address: Some(Advertise { host: Some(host.clone()), port: dial.port }),
            ..StepTaken::now(Step::Returned, login, Party::Terminal(guest.sim.clone()), Message::Device(told))
        });
        let downlink = Downlink { id: id::TERMINAL_CONTROL, body: body.into() };
        self.session.command(Instant::now(), SWITCH_TOKEN, downlink);
        self.desk.counters.redirects.one();
        Stage::Told(guest)
    }

    /// What the terminal says to that.
    pub(super) fn answered(&mut self, answer: &Answer) {
        let Stage::Told(guest) = &self.stage else { return };
        let guest = guest.clone();
        if *answer == Answer::General(0) {
            let within = Duration::from_secs(self.desk.settings.redirect_leave_within_s);
            self.stage = Stage::Going { guest, until: Instant::now() + within };
            return;
        }
        let counters = &self.desk.counters;
        match answer {
            Answer::General(_) => counters.redirect_refused.one(),
            _ => counters.redirect_ignored.one(),
        }
        self.does_not_go(guest);
    }

    /// It said it would go, and did not.
    pub(super) fn stays(&mut self) {
        if let Stage::Going { guest, .. } = &self.stage {
            let guest = guest.clone();
            self.desk.counters.redirect_ignored.one();
            self.does_not_go(guest);
        }
    }

    fn does_not_go(&mut self, guest: Guest) {
        self.desk.stubborn.remember(Instant::now(), guest.terminal);
        self.stage = Stage::Passing(guest);
    }

    /// The terminal, once it is to be spliced through: also one that has so much to say that it cannot wait.
    pub(super) fn passes(&mut self) -> Option<Guest> {
        let has_room = self.heard.len() < self.desk.settings.redirect_bytes_max && self.session.wants_input();
        match &self.stage {
            Stage::Stranger => None,
            Stage::Told(guest) | Stage::Going { guest, .. } if !has_room => {
                let guest = guest.clone();
                self.desk.counters.redirect_ignored.one();
                self.does_not_go(guest.clone());
                Some(guest)
            }
            Stage::Told(_) | Stage::Going { .. } => None,
            Stage::Passing(guest) => Some(guest.clone()),
        }
    }
}
