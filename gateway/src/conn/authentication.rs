//! A connection's way to being somebody's: registration, authentication, the end of either, and what a newcomer may
//! cost. Knows no report and no command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use access::terminal::{Authentication, Registration, control_form};
use bytes::Bytes;
use chrono::Utc;
use cluster::trace::{DeviceMessage, Message, Party, Step, StepTaken};
use model::{Event as PlatformEvent, Presence, Sim, TerminalId};
use parking_lot::Mutex;
use protocol::jt808::message::ControlForm;
use protocol::jt808::server::{RegisterResult, ReplyTo};
use protocol::jt808::{Edition, Phone, id};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Conn, End, Linked};
use crate::alarm::Seen;
use crate::course::{Course, STEPS_MAX};
use crate::link::{Code, Link};
use crate::trouble::Trouble;

/// How often a connection may ask to be registered or authenticated before it must have succeeded once.
const ATTEMPTS_MAX: u32 = 10;
/// How long an authentication waits for the database to open the terminal's session, which brings the alarms
/// that last. A slow database delays nobody longer.
const SESSION_WITHIN: Duration = Duration::from_secs(1);
/// How long a link stays after a refused registration where it is to be closed: enough for the terminal to
/// hear the answer, and to be refused an authentication too if it tries.
const REFUSED_FOR: Duration = Duration::from_secs(2);

impl Conn {
    pub(super) async fn register(
        &mut self,
        phone: Phone,
        edition: Edition,
        body: Bytes,
        to: ReplyTo,
    ) -> Result<(), End> {
        self.bound_attempts()?;
        let sim = Sim::from_bcd(phone.as_bytes());
        self.trace_heard(id::REGISTER, &to, &sim);
        match self.gate.door.register(&sim, edition, &body, &self.peer.ip().to_string()).await {
            Registration::Done { code } => {
                if self.linked.is_none() {
                    self.trace_answer(id::REGISTER_ANSWER, &sim);
                }
                self.session.registered(Instant::now(), to, RegisterResult::Done, Some(code.as_bytes()));
                Ok(())
            }
            Registration::Refused { close } => {
                self.gate.troubles.count(Trouble::RegistrationRefused);
                self.session.registered(Instant::now(), to, RegisterResult::NoSuchTerminal, None);
                if close && self.linked.is_none() {
                    self.refused_at.get_or_insert_with(Instant::now);
                }
                Ok(())
            }
            Registration::Unanswered => {
                self.gate.troubles.count(Trouble::AdmissionUnanswered);
                Ok(())
            }
        }
    }

    pub(super) async fn authenticate(
        &mut self,
        phone: Phone,
        edition: Edition,
        code: Bytes,
        to: ReplyTo,
    ) -> Result<(), End> {
        self.bound_attempts()?;
        let sim = Sim::from_bcd(phone.as_bytes());
        self.trace_heard(id::AUTHENTICATE, &to, &sim);
        match self.gate.door.authenticate(&sim, &code).await {
            Authentication::Admitted { terminal, unchecked, redirect_form } => {
                self.attempts = 0;
                self.newcomer = None;
                if self.linked.as_ref().is_none_or(|linked| linked.terminal != terminal) {
                    if let Some(heard) = self.steps.last_mut() {
                        heard.ended = SystemTime::now();
                    }
                    let form = control_form(redirect_form.unwrap_or(self.gate.settings.redirect_form));
                    self.open_link(terminal, sim.clone(), edition, unchecked, Code::of(&code), form).await;
                    self.trace_answer(id::PLATFORM_REPLY, &sim);
                }
                self.session.authenticated(Instant::now(), to, true);
                Ok(())
            }
            Authentication::Refused { close } => {
                self.gate.troubles.count(Trouble::AuthenticationRefused);
                self.session.authenticated(Instant::now(), to, false);
                // Refused on a link that was somebody's: it is nobody's now.
                if close || self.linked.is_some() { Err(End::Refused) } else { Ok(()) }
            }
            Authentication::Unanswered => {
                self.gate.troubles.count(Trouble::AdmissionUnanswered);
                Ok(())
            }
        }
    }

    /// The terminal is who it says: its older link, if any, is told to close only now.
    async fn open_link(
        &mut self,
        terminal: TerminalId,
        sim: Sim,
        edition: Edition,
        unchecked: Option<u32>,
        code: Code,
        redirect_form: ControlForm,
    ) {
        self.close_link();
        let link = Arc::new(Link {
            number: self.gate.links.next_number(),
            sim: sim.clone(),
            sim_bytes: if edition == Edition::V2019 { 10 } else { 6 },
            local: self.local,
            peer: self.peer.ip().to_canonical(),
            is_spliced: self.is_spliced,
            since_ms: Utc::now().timestamp_millis(),
            epoch: OnceLock::new(),
            is_superseded: AtomicBool::new(false),
            renewed_at: Mutex::new(Instant::now()),
            redirect: Mutex::default(),
            is_leaving: AtomicBool::new(false),
            code,
            redirect_form,
            unchecked,
            newest: watch::Sender::default(),
            orders: self.orders_in.clone(),
            course: Course::of(std::mem::take(&mut self.steps)),
            attributes: watch::Sender::default(),
            close: self.close.clone(),
            ended: CancellationToken::new(),
        });
        let replaced = self.gate.links.put(terminal, Arc::clone(&link));
        self.gate.presence.changed(terminal);
        if replaced.is_none() {
            let presence = Presence::Online;
            self.gate.events.publish(PlatformEvent::Presence { terminal, presence });
        }
        tracing::info!(terminal.sim = %sim, terminal.id = %terminal, peer = %self.peer, "terminal {sim} authenticated");
        if self.gate.releases.is_draining() {
            self.gate.releases.push(terminal, &link);
        }
        let mut newest = link.newest.subscribe();
        self.linked = Some(Linked { terminal, link, seen: Seen::default() });
        if !self.gate.database.is_away() && self.gate.spool.bytes() == 0 {
            let known = newest.wait_for(Option::is_some);
            let _ = tokio::time::timeout(SESSION_WITHIN, known).await;
        }
    }

    /// A message by which the terminal wants to be known.
    fn trace_heard(&mut self, id: u16, to: &ReplyTo, sim: &Sim) {
        if self.linked.is_some() {
            // On its way no longer: it repeats itself.
            return;
        }
        let message = DeviceMessage { id, serial: to.serial() };
        self.trace(Step::Registers, message, sim);
    }

    /// The answer that is about to be sent.
    fn trace_answer(&mut self, id: u16, sim: &Sim) {
        let message = DeviceMessage { id, serial: self.session.next_serial() };
        self.trace(Step::Answered, message, sim);
    }

    /// Records a step, or keeps it until it is known whose it is.
    fn trace(&mut self, step: Step, message: DeviceMessage, sim: &Sim) {
        if !self.gate.trace.is_on() {
            return;
        }
        // The gateway's answer to what a login server repeats is for that alone.
        let is_for_carrier = self.is_spliced && step == Step::Answered;
        let terminal = if is_for_carrier { Party::Carrier } else { Party::Terminal(sim.clone()) };
        let peer = self.peer.ip().to_canonical();
        let taken = move |gateway: Party| {
            let (from, to) = if step == Step::Answered { (gateway, terminal) } else { (terminal, gateway) };
            StepTaken {
                phone: Some(sim.clone()),
                terminal_address: Some(peer),
                ..StepTaken::now(step, from, to, Message::Device(message))
            }
        };
        match &self.linked {
            Some(Linked { terminal, link, .. }) => {
                link.course.record(&self.gate.trace, &self.gate.awaited, *terminal, taken);
            }
            None => {
                if self.steps.len() >= STEPS_MAX {
                    self.steps.remove(0);
                }
                self.steps.extend(self.gate.trace.node().map(taken));
            }
        }
    }

    /// Forgets the link. A replaced link's end is no end of the terminal's, here or at another gateway: then it gives
    /// nothing.
    pub(super) fn close_link(&mut self) -> Option<(Sim, TerminalId)> {
        let Linked { terminal, link, .. } = self.linked.take()?;
        let was_current = self.gate.links.remove(terminal, link.number);
        link.ended.cancel();
        if !was_current {
            return None;
        }
        self.gate.presence.changed(terminal);
        if link.is_superseded.load(Ordering::Relaxed) {
            return None;
        }
        let presence = Presence::Offline;
        self.gate.events.publish(PlatformEvent::Presence { terminal, presence });
        Some((link.sim.clone(), terminal))
    }

    pub(super) async fn unregister(&mut self) -> Result<(), End> {
        let Some(linked) = &self.linked else {
            return Ok(());
        };
        let sim = &linked.link.sim;
        match self.gate.door.unregister(linked.terminal).await {
            Ok(()) => tracing::info!(terminal.sim = %sim, "terminal {sim} unregistered"),
            Err(error) => {
                tracing::warn!(terminal.sim = %sim, %error, "the code of terminal {sim} could not be made void")
            }
        }
        Err(End::Closed)
    }

    pub(super) fn bound_newcomer(&mut self, count: usize) -> Result<(), End> {
        if self.newcomer.is_some() {
            self.bytes_before += count;
            if self.bytes_before > self.gate.settings.unauthenticated_bytes_max {
                return Err(End::Flood);
            }
        }
        Ok(())
    }

    fn bound_attempts(&mut self) -> Result<(), End> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX { Err(End::Flood) } else { Ok(()) }
    }
}

/// Waits until a refused link's time is over; for ever where it was not refused.
pub(super) async fn refused(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until((at + REFUSED_FOR).into()).await,
        None => std::future::pending().await,
    }
}
