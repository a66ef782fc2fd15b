//! One terminal's connection until it goes to its gateway, or is spliced through to it. One task drives one sans-I/O
//! session, as at a gateway; what the terminal says after its authentication is left to the gateway to hear.

mod redirect;
mod steps;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use access::terminal::{Authentication, Registration};
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use cluster::Newcomer;
use cluster::trace::{DeviceMessage, StepTaken};
use model::Sim;
use protocol::jt808::server::{
    CloseReason, Event, Output, RegisterResult, ReplyTo, Session, Settings as SessionSettings,
};
use protocol::jt808::{Edition, Phone, id};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::heard::Heard;
use crate::splice::{self, Passage};

use redirect::{Guest, Stage};

/// Room made in the input buffer before each read: some dozens of reports.
pub(crate) const READ_BYTES: usize = 4 * 1024;
/// How long a terminal, or a gateway, may take to accept what is sent to it.
pub(crate) const WRITE_WITHIN: Duration = Duration::from_secs(20);
/// How often a connection may ask to be registered or authenticated before it must have succeeded once.
const ATTEMPTS_MAX: u32 = 10;
/// How long a link stays after a refused registration where it is to be closed: enough for the terminal to hear the
/// answer, and to be refused an authentication too if it tries.
const REFUSED_FOR: Duration = Duration::from_secs(2);
/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Session(CloseReason),
    #[error("not admitted")]
    Refused,
    #[error("too many bytes or attempts before authentication")]
    Flood,
    #[error("no gateway is fit and has room")]
    NoGateway,
    /// A message that is not there in one piece cannot be shown to a gateway.
    #[error("its authentication cannot be repeated")]
    Unrepeatable,
    #[error("told to close")]
    Closed,
    #[error("the terminal takes no bytes")]
    Stalled,
    #[error("the socket failed: {0}")]
    Io(std::io::Error),
}

/// A connection and the session on it.
pub(crate) struct Conn {
    desk: Arc<Desk>,
    peer: SocketAddr,
    local: SocketAddr,
    session: Session,
    stop: CancellationToken,
    /// Counts against the address until the terminal is authenticated.
    newcomer: Option<Newcomer>,
    heard: Heard,
    bytes_before: usize,
    attempts: u32,
    /// When a registration was refused on a link that is to be closed for it.
    refused_at: Option<Instant>,
    /// The registration of a stranger, to be traced once it is none.
    registered: Option<StepTaken>,
    stage: Stage,
}

impl Conn {
    pub(crate) fn new(
        desk: Arc<Desk>,
        peer: SocketAddr,
        local: SocketAddr,
        newcomer: Newcomer,
        stop: CancellationToken,
    ) -> Self {
        let settings = &desk.settings;
        let limit = Duration::from_secs(settings.authenticate_within_s);
        let session = Session::new(
            Instant::now(),
            SessionSettings {
                authentication_limit: limit,
                command_timeout: Duration::from_secs(settings.redirect_answer_within_s),
                command_resends: 0,
                commands_max: 1,
                ..SessionSettings::default()
            },
        );
        Self {
            desk,
            peer,
            local,
            session,
            stop,
            newcomer: Some(newcomer),
            heard: Heard::default(),
            bytes_before: 0,
            attempts: 0,
            refused_at: None,
            registered: None,
            stage: Stage::Stranger,
        }
    }

    /// Serves the connection until it ends. `input` is what was read of it already.
    pub(crate) async fn run(mut self, mut socket: TcpStream, input: BytesMut) {
        match self.serve(&mut socket, input).await {
            Ok(guest) => {
                let Guest { terminal, sim, assignment, serial, trace } = guest;
                let passage = Passage {
                    terminal,
                    sim,
                    assignment,
                    serial,
                    trace,
                    heard: self.heard.into_bytes(),
                    peer: self.peer,
                    local: self.local,
                };
                splice::run(&self.desk, socket, passage, &self.stop).await;
            }
            Err(end) => {
                // What was decided last (a refusal, say) still goes out; the terminal's end is its own affair.
                let _ = tokio::time::timeout(WRITE_WITHIN, socket.shutdown()).await;
                self.finish(&end);
            }
        }
    }

    /// Until the connection ends, or its terminal is to be spliced through.
    async fn serve(&mut self, socket: &mut TcpStream, mut input: BytesMut) -> Result<Guest, End> {
        if !input.is_empty() {
            let count = input.len();
            self.receive(&mut input, count)?;
        }
        loop {
            self.drain(socket).await?;
            if let Some(guest) = self.passes() {
                return Ok(guest);
            }
            input.reserve(READ_BYTES);
            tokio::select! {
                () = self.stop.cancelled() => return Err(End::Closed),
                read = socket.read_buf(&mut input) => {
                    let count = read.map_err(End::Io)?;
                    self.receive(&mut input, count)?;
                }
                () = at(self.refused_at.map(|at| at + REFUSED_FOR)) => return Err(End::Refused),
                () = at(self.stage.ends_at()) => self.stays(),
                () = tokio::time::sleep_until(self.session.deadline().into()) => {
                    self.session.tick(Instant::now());
                }
            }
        }
    }

    /// Takes the last `count` bytes of `input`.
    fn receive(&mut self, input: &mut BytesMut, count: usize) -> Result<(), End> {
        self.bound_newcomer(count)?;
        // The session takes the bytes apart in place.
        let read = input.get(input.len().saturating_sub(count)..).unwrap_or_default();
        self.heard.take(read);
        self.session.receive(Instant::now(), input, count).map_err(End::Session)
    }

    /// Does everything that the session wants, and sends what it has to say in one piece.
    async fn drain(&mut self, socket: &mut TcpStream) -> Result<(), End> {
        let mut bytes = Vec::new();
        let mut end = None;
        while let Some(output) = self.session.poll() {
            match output {
                Output::Transmit(frame) => bytes.extend_from_slice(&frame),
                Output::Event(event) => {
                    if let Err(reason) = self.on_event(event).await {
                        end = Some(reason);
                    }
                }
                Output::Close(reason) => end = Some(End::Session(reason)),
            }
        }
        if !bytes.is_empty() {
            match tokio::time::timeout(WRITE_WITHIN, socket.write_all(&bytes)).await {
                Ok(written) => written.map_err(End::Io)?,
                Err(_) => return Err(End::Stalled),
            }
        }
        end.map_or(Ok(()), Err)
    }

    async fn on_event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Register { phone, edition, body, to } => self.register(phone, edition, body, to).await,
            Event::Authenticate { phone, code, to, .. } => self.authenticate(phone, code, to).await,
            // Not acknowledged here: the gateway hears them again, or the terminal keeps them.
            Event::Reports { .. } => Ok(()),
            Event::Unregister => self.unregister().await,
            Event::Answer { answer, .. } => {
                self.answered(&answer);
                Ok(())
            }
            Event::TimeAsked { to } => {
                let unix_s = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
                self.session.time(Instant::now(), to, unix_s);
                Ok(())
            }
            Event::Trouble(trouble) => {
                tracing::trace!(peer = %self.peer, ?trouble, "skipped");
                self.desk.counters.skipped.one();
                Ok(())
            }
        }
    }

    async fn register(
        &mut self,
        phone: Phone,
        edition: Edition,
        body: Bytes,
        to: ReplyTo,
    ) -> Result<(), End> {
        self.bound_attempts()?;
        let begun = SystemTime::now();
        let sim = Sim::from_bcd(phone.as_bytes());
        match self.desk.door.register(&sim, edition, &body, &self.peer.ip().to_string()).await {
            Registration::Done { code } => {
                let answer = DeviceMessage { id: id::REGISTER_ANSWER, serial: self.session.next_serial() };
                self.registered =
                    self.asked(begun, &sim, DeviceMessage { id: id::REGISTER, serial: to.serial() }, answer);
                self.session.registered(Instant::now(), to, RegisterResult::Done, Some(code.as_bytes()));
            }
            Registration::Refused { close } => {
                self.desk.counters.registration_refused.one();
                self.session.registered(Instant::now(), to, RegisterResult::NoSuchTerminal, None);
                if close && matches!(self.stage, Stage::Stranger) {
                    self.refused_at.get_or_insert_with(Instant::now);
                }
            }
            Registration::Unanswered => self.desk.counters.admission_unanswered.one(),
        }
        Ok(())
    }

    async fn authenticate(&mut self, phone: Phone, code: Bytes, to: ReplyTo) -> Result<(), End> {
        self.bound_attempts()?;
        let begun = SystemTime::now();
        let sim = Sim::from_bcd(phone.as_bytes());
        match self.desk.door.authenticate(&sim, &code).await {
            Authentication::Admitted { terminal, unchecked: _, redirect_form } => {
                self.attempts = 0;
                self.newcomer = None;
                if !matches!(self.stage, Stage::Stranger) {
                    // Once more what was accepted already.
                    self.session.authenticated(Instant::now(), to, true);
                    return Ok(());
                }
                // Nothing is said where there is nowhere to go: the terminal tries again.
                let admitted = SystemTime::now();
                let assignment = self.desk.dispatch.assign(terminal).ok_or(End::NoGateway)?;
                let serial = self.heard.keep_from(&code).ok_or(End::Unrepeatable)?;
                let said = DeviceMessage { id: id::AUTHENTICATE, serial: to.serial() };
                let answer = DeviceMessage { id: id::PLATFORM_REPLY, serial: self.session.next_serial() };
                self.session.authenticated(Instant::now(), to, true);
                self.desk.counters.authenticated.one();
                let asked =
                    self.asked(begun, &sim, said, answer).map(|asked| StepTaken { ended: admitted, ..asked });
                let mut guest = Guest { terminal, sim, assignment, serial, trace: None };
                guest.trace = self.assigned(&guest, asked, admitted);
                let form = redirect_form.unwrap_or(self.desk.settings.redirect_form);
                self.stage = self.tell(guest, &code, form);
                Ok(())
            }
            Authentication::Refused { close } => {
                self.desk.counters.authentication_refused.one();
                self.session.authenticated(Instant::now(), to, false);
                // Refused on a link that was somebody's: it is nobody's now.
                if close || !matches!(self.stage, Stage::Stranger) { Err(End::Refused) } else { Ok(()) }
            }
            Authentication::Unanswered => {
                self.desk.counters.admission_unanswered.one();
                Ok(())
            }
        }
    }

    async fn unregister(&mut self) -> Result<(), End> {
        let Some(guest) = self.stage.guest() else { return Ok(()) };
        let sim = &guest.sim;
        match self.desk.door.unregister(guest.terminal).await {
            Ok(()) => tracing::info!(terminal.sim = %sim, "terminal {sim} unregistered"),
            Err(error) => {
                tracing::warn!(terminal.sim = %sim, %error, "the code of terminal {sim} could not be made void");
            }
        }
        Err(End::Closed)
    }

    fn bound_newcomer(&mut self, count: usize) -> Result<(), End> {
        if self.newcomer.is_some() {
            self.bytes_before += count;
            if self.bytes_before > self.desk.settings.unauthenticated_bytes_max {
                return Err(End::Flood);
            }
        }
        Ok(())
    }

    fn bound_attempts(&mut self) -> Result<(), End> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX { Err(End::Flood) } else { Ok(()) }
    }

    fn finish(&self, end: &End) {
        let counters = &self.desk.counters;
        match end {
            End::Session(CloseReason::NotAuthenticated) => counters.authentication_late.one(),
            End::Session(CloseReason::Noise { .. }) => counters.garbage.one(),
            End::Flood => counters.authentication_flood.one(),
            End::NoGateway => counters.no_gateway.one(),
            End::Stalled => counters.write_stalled.one(),
            // Who was told to go and is gone went.
            End::Session(CloseReason::Ended) | End::Io(_) if self.stage.guest().is_some() => {
                counters.redirected.one();
            }
            End::Session(_) | End::Refused | End::Unrepeatable | End::Closed | End::Io(_) => {}
        }
        if let Some(guest) = self.stage.guest() {
            let sim = &guest.sim;
            tracing::debug!(terminal.sim = %sim, "terminal {sim} left the login server: {end}");
        } else {
            tracing::debug!(peer = %self.peer, "a connection ended: {end}");
        }
    }
}

/// Waits until then; for ever where there is no then.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
