//! One terminal's connection: the whole relation of a socket to the protocol. One task drives one sans-I/O
//! session; what it cannot decide it asks of the door, intake and the command side.

mod authentication;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::{SubsecRound as _, Utc};
use cluster::Newcomer;
use cluster::trace::StepTaken;
use model::TerminalId;
use protocol::jt808::server::{
    Answer, CloseReason, Event, Outcome, Output, Session, Settings as SessionSettings, Ticket,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use authentication::refused;

use crate::alarm::Seen;
use crate::arrival::Arrival;
use crate::gate::Gate;
use crate::link::{Link, Order};
use crate::normalise;
use crate::trouble::Trouble;
use crate::writer::{Submission, Verdict};

/// Room made in the input buffer before each read: some dozens of reports.
const READ_BYTES: usize = 4 * 1024;
/// How long a terminal may take to accept what is sent to it.
const WRITE_WITHIN: Duration = Duration::from_secs(20);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Session(CloseReason),
    #[error("not admitted")]
    Refused,
    #[error("too many bytes or attempts before authentication")]
    Flood,
    #[error("the terminal has a newer link")]
    Replaced,
    /// By an operator, by 0x0003, or because the gateway stops.
    #[error("told to close")]
    Closed,
    #[error("the terminal takes no bytes")]
    Stalled,
    #[error("the socket failed: {0}")]
    Io(std::io::Error),
}

/// A connection and the session on it.
pub(crate) struct Conn {
    gate: Arc<Gate>,
    peer: SocketAddr,
    local: SocketAddr,
    is_spliced: bool,
    /// What was read of it before it was served.
    first: BytesMut,
    session: Session,
    /// Ends the task: the gateway stops, the terminal has a newer link, an operator wants it.
    close: CancellationToken,
    orders: mpsc::Receiver<Order>,
    orders_in: mpsc::Sender<Order>,
    /// Unbounded, but never longer than the messages whose outcome the session waits for, which are bounded:
    /// a writer must never wait for a terminal.
    verdicts: mpsc::UnboundedReceiver<Verdict>,
    verdicts_in: mpsc::UnboundedSender<Verdict>,
    /// Reports that wait for room in the queue. While there are any, the socket is not read.
    waiting: VecDeque<Submission>,
    room: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    last_token: u64,
    /// Counts against the address until the terminal is authenticated.
    newcomer: Option<Newcomer>,
    bytes_before: usize,
    attempts: u32,
    /// When a registration was refused on a link that is to be closed for it.
    refused_at: Option<Instant>,
    /// What a stranger said, to be traced once it is none.
    steps: Vec<StepTaken>,
    linked: Option<Linked>,
}

/// An authenticated terminal at this end of the connection.
struct Linked {
    terminal: TerminalId,
    link: Arc<Link>,
    /// Its alarm bits as last seen.
    seen: Seen,
}

impl Conn {
    pub(crate) fn new(
        gate: Arc<Gate>,
        Arrival { peer, local, is_spliced, at, first }: Arrival,
        newcomer: Newcomer,
        stop: &CancellationToken,
    ) -> Self {
        let settings = &gate.settings;
        let (orders_in, orders) = mpsc::channel(settings.commands_per_terminal_max.max(1));
        let (verdicts_in, verdicts) = mpsc::unbounded_channel();
        let session = Session::new(
            at,
            SessionSettings {
                authentication_limit: Duration::from_secs(settings.authenticate_within_s),
                idle_limit: Duration::from_secs(settings.idle_s),
                command_timeout: Duration::from_millis(settings.command_timeout_ms),
                command_resends: 0,
                commands_max: settings.commands_per_terminal_max,
                ..SessionSettings::default()
            },
        );
        Self {
            gate,
            peer,
            local,
            is_spliced,
            first,
            session,
            close: stop.child_token(),
            orders,
            orders_in,
            verdicts,
            verdicts_in,
            waiting: VecDeque::new(),
            room: None,
            answers: HashMap::new(),
            last_token: 0,
            newcomer: Some(newcomer),
            bytes_before: 0,
            attempts: 0,
            refused_at: None,
            steps: Vec::new(),
            linked: None,
        }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn run(mut self, mut socket: TcpStream) {
        let end = match self.serve(&mut socket).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // What was decided last (a refusal, say) still goes out; the terminal's end is its own affair.
        let _ = tokio::time::timeout(WRITE_WITHIN, socket.shutdown()).await;
        self.finish(&end);
    }

    async fn serve(&mut self, socket: &mut TcpStream) -> Result<std::convert::Infallible, End> {
        let mut input = std::mem::take(&mut self.first);
        if !input.is_empty() {
            let count = input.len();
            self.take(&mut input, count)?;
        }
        loop {
            self.drain(socket).await?;
            self.submit();
            input.reserve(READ_BYTES);
            let reading = self.waiting.is_empty() && self.session.wants_input();
            tokio::select! {
                () = self.close.cancelled() => return Err(self.told_to_close()),
                read = socket.read_buf(&mut input), if reading => {
                    self.take(&mut input, read.map_err(End::Io)?)?;
                }
                Some(order) = self.orders.recv() => self.order(order),
                Some(verdict) = self.verdicts.recv() => {
                    self.session.stored(Instant::now(), verdict.ticket, verdict.outcome);
                }
                permit = wait_for_room(&mut self.room), if self.room.is_some() => {
                    self.room = None;
                    if let Some(submission) = self.waiting.pop_front() {
                        self.gate.intake.submit(submission, permit);
                    }
                }
                () = refused(self.refused_at) => return Err(End::Refused),
                () = tokio::time::sleep_until(self.session.deadline().into()) => {
                    self.session.tick(Instant::now());
                }
            }
        }
    }

    /// Takes the last `count` bytes of `input`, just read.
    fn take(&mut self, input: &mut BytesMut, count: usize) -> Result<(), End> {
        self.bound_newcomer(count)?;
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
            Event::Authenticate { phone, edition, code, to, .. } => {
                self.authenticate(phone, edition, code, to).await
            }
            Event::Reports { ticket, bodies, .. } => {
                self.report(ticket, bodies);
                Ok(())
            }
            Event::Unregister => self.unregister().await,
            Event::Answer { token, answer } => {
                if let Some(waiting) = self.answers.remove(&token) {
                    // Whoever asked may have gone.
                    let _ = waiting.send(answer);
                }
                Ok(())
            }
            Event::TimeAsked { to } => {
                let unix_s = u64::try_from(Utc::now().timestamp()).unwrap_or(0);
                self.session.time(Instant::now(), to, unix_s);
                Ok(())
            }
            Event::Trouble(trouble) => {
                tracing::trace!(peer = %self.peer, ?trouble, "skipped");
                self.gate.troubles.count(trouble.into());
                Ok(())
            }
        }
    }

    /// What was stored before this link is taken in once, when it is known.
    fn load_alarms(linked: &mut Linked) {
        if !linked.seen.is_complete()
            && let Some(newest) = *linked.link.newest.borrow()
        {
            linked.seen.complete(newest, Utc::now());
        }
    }

    fn report(&mut self, ticket: Ticket, bodies: Vec<Bytes>) {
        let Some(linked) = &mut self.linked else {
            return;
        };
        Self::load_alarms(linked);
        // The database's resolution, so that what is read back from the spool is the same to the digit.
        let received_at = Utc::now().trunc_subsecs(6);
        let mut reports = Vec::with_capacity(bodies.len());
        for body in bodies {
            match normalise::report(linked.terminal, &body, received_at) {
                Ok(report) => {
                    for alarm in linked.seen.started_by(&report.position) {
                        self.gate.publish_alarm_started(alarm);
                    }
                    reports.push(report);
                }
                Err(error) => {
                    self.gate.troubles.count(Trouble::Location);
                    tracing::debug!(terminal.sim = %linked.link.sim, %error, "location body not taken");
                    return self.session.stored(Instant::now(), ticket, Outcome::Failed);
                }
            }
        }
        self.gate.counts.received.add(reports.len());
        self.waiting.push_back(Submission {
            terminal: linked.terminal,
            reports,
            ticket,
            verdicts: self.verdicts_in.clone(),
        });
    }

    /// Hands what waits to the writers, as far as the queue has room.
    fn submit(&mut self) {
        while self.room.is_none() {
            let Some(submission) = self.waiting.front() else {
                return;
            };
            match self.gate.intake.try_room(submission.reports.len()) {
                Some(permit) => {
                    if let Some(submission) = self.waiting.pop_front() {
                        self.gate.intake.submit(submission, permit);
                    }
                }
                None => self.room = Some(Box::pin(self.gate.intake.room(submission.reports.len()))),
            }
        }
    }

    fn order(&mut self, order: Order) {
        self.last_token += 1;
        self.answers.insert(self.last_token, order.answer);
        self.session.command(Instant::now(), self.last_token, order.downlink);
    }

    fn told_to_close(&self) -> End {
        let is_replaced = self.linked.as_ref().is_some_and(|linked| {
            linked.link.is_superseded.load(Ordering::Relaxed)
                || self.gate.links.of(linked.terminal).is_some_and(|link| link.number != linked.link.number)
        });
        if is_replaced { End::Replaced } else { End::Closed }
    }

    fn finish(mut self, end: &End) {
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            // The terminal heard nothing of it. Nobody waits any more where this does not arrive.
            let _ = order.answer.send(Answer::NotAuthenticated);
        }
        let trouble = match end {
            End::Session(CloseReason::NotAuthenticated) => Some(Trouble::AuthenticationLate),
            End::Session(CloseReason::Idle) => Some(Trouble::Idle),
            End::Session(CloseReason::Noise { .. }) => Some(Trouble::Garbage),
            End::Flood => Some(Trouble::AuthenticationFlood),
            End::Replaced => Some(Trouble::Replaced),
            End::Stalled => Some(Trouble::WriteStalled),
            End::Session(CloseReason::Ended) | End::Refused | End::Closed | End::Io(_) => None,
        };
        if let Some(trouble) = trouble {
            self.gate.troubles.count(trouble);
        }
        if let Some((sim, terminal)) = self.close_link() {
            tracing::info!(terminal.sim = %sim, terminal.id = %terminal, "terminal {sim} offline: {end}");
        }
    }
}

/// Waits until the queue has the room that was asked for.
async fn wait_for_room(
    room: &mut Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
) -> OwnedSemaphorePermit {
    match room {
        Some(room) => room.await,
        None => std::future::pending().await,
    }
}
