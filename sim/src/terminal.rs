//! One simulated terminal on a real socket: drives a `terminal::Session`, reports, comes back when its link dies, goes to
//! another server when it is sent there. What it does at a command is `commands`' matter.

mod commands;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use protocol::jt808::terminal::{CloseReason, Event, Location, Output, Resend, Session};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

use crate::Settings;
use crate::ledger::Account;
use crate::log::{Entry, Log, message};
use crate::manner::Manner;
use crate::parameters::Parameters;
use crate::servers::{Servers, Target};
use crate::stream::Camera;
use crate::vehicle::{Vehicle, bcd};

const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// A refused registration is asked for again in this time only: somebody has to approve it first.
const REFUSED_BACK_OFF: Duration = Duration::from_secs(5);
/// How long a terminal that leaves a link of its own accord waits for the platform to close it, too.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// One terminal and its vehicle.
pub(crate) struct Terminal {
    settings: Arc<Settings>,
    session: Session,
    vehicle: Vehicle,
    camera: Camera,
    sim: Vec<u8>,
    servers: Servers,
    parameters: Parameters,
    manner: Manner,
    account: Account,
    log: Log,
    /// How many links it has tried to make.
    links: u32,
    /// Whether it closes its link once everything is said, to dial elsewhere.
    leaves: bool,
    streams: HashMap<u8, DropGuard>,
    rng: StdRng,
    reports: Interval,
    /// When it makes no more reports.
    report_until: Option<Instant>,
    draining_until: Option<Instant>,
    stop: CancellationToken,
}

/// What a terminal starts with.
pub(crate) struct Outfit {
    pub(crate) settings: Arc<Settings>,
    pub(crate) session: Session,
    pub(crate) vehicle: Vehicle,
    pub(crate) camera: Camera,
    /// The SIM as its 1078 packets carry it: 6 or 10 bytes.
    pub(crate) sim: Vec<u8>,
    pub(crate) servers: Servers,
    pub(crate) parameters: Parameters,
    pub(crate) manner: Manner,
    pub(crate) account: Account,
    pub(crate) log: Log,
    pub(crate) stop: CancellationToken,
}

/// How a link ended, or an attempt to make one.
#[derive(Debug, thiserror::Error)]
enum End {
    /// Nobody answered.
    #[error("not connected: {0}")]
    NotConnected(io::Error),
    /// The link died, or the session wanted it closed.
    #[error("{0}")]
    Lost(CloseReason),
    /// The terminal itself goes to another server.
    #[error("left for another server")]
    Left,
    /// The terminal itself has finished.
    #[error("finished")]
    Finished,
}

impl Terminal {
    pub(crate) fn new(outfit: Outfit) -> Self {
        let Outfit {
            settings,
            session,
            vehicle,
            camera,
            sim,
            servers,
            parameters,
            manner,
            account,
            log,
            stop,
        } = outfit;
        let mut rng = StdRng::seed_from_u64(settings.seed.rotate_left(32) ^ u64::from(account.terminal));
        let now = Instant::now();
        // Spread over the interval, or a fleet reports in step.
        let phase = Duration::from_millis(rng.random_range(0..settings.interval_ms));
        let period = Duration::from_millis(settings.interval_ms);
        let mut reports = interval_at((now + phase).into(), period);
        reports.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let report_until = settings.duration_s.map(|seconds| now + Duration::from_secs(seconds));
        Self {
            settings,
            session,
            vehicle,
            camera,
            sim,
            servers,
            parameters,
            manner,
            account,
            log,
            links: 0,
            leaves: false,
            streams: HashMap::new(),
            rng,
            reports,
            report_until,
            draining_until: None,
            stop,
        }
    }

    /// Runs until its time is over and everything is acknowledged, or until it is stopped.
    pub(crate) async fn run(mut self) -> Account {
        let mut back_off = BACK_OFF_FIRST;
        while !self.is_finished() {
            self.expire();
            let target = self.servers.dial();
            let log_ins = self.account.log_ins;
            let end = self.link(target).await;
            let has_worked = self.account.log_ins > log_ins;
            if has_worked {
                back_off = BACK_OFF_FIRST;
            }
            match end {
                End::Finished => break,
                End::Left => continue,
                End::Lost(CloseReason::RegistrationRefused { .. }) => back_off = REFUSED_BACK_OFF,
                End::NotConnected(_) | End::Lost(_) => {
                    if !has_worked && self.servers.failed() {
                        self.account.redirects.given_up += 1;
                    }
                }
            }
            let jitter = self.rng.random_range(0.5..1.0);
            self.meanwhile(sleep(back_off.mul_f64(jitter))).await;
            back_off =
                (back_off * 2).min(Duration::from_millis(self.settings.reconnect_max_ms).max(BACK_OFF_FIRST));
        }
        self.account
    }

    /// One attempt to connect and, where it succeeds, the link until its end.
    async fn link(&mut self, target: Target) -> End {
        self.links += 1;
        self.leaves = false;
        let Target { address, code } = target;
        self.log(|| Entry::Dialled { address: address.to_string() });
        let within = Duration::from_millis(self.settings.connect_timeout_ms);
        let connecting = timeout(within, TcpStream::connect((address.host(), address.port())));
        let end = match self.meanwhile(connecting).await {
            None => return End::Finished,
            Some(Err(_)) => End::NotConnected(io::ErrorKind::TimedOut.into()),
            Some(Ok(Err(error))) => End::NotConnected(error),
            Some(Ok(Ok(stream))) => self.serve(stream, code).await,
        };
        debug!(terminal.sim = %self.account.sim, "terminal {}: link to {address}: {end}", self.account.sim);
        self.session.disconnected();
        // What arrived last still counts, above all an acknowledgement; a command that can't be answered doesn't.
        while let Some(output) = self.session.poll() {
            match output {
                Output::Event(Event::Command { .. }) => {}
                Output::Event(event) => self.on_event(event),
                Output::Transmit(_) | Output::Close(_) => {}
            }
        }
        self.log(|| Entry::Ended { reason: end.to_string() });
        end
    }

    /// Waits for `future` and makes reports all the while. None when the terminal's time is over first.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        while !self.is_finished() {
            let (reporting, turn) = (self.is_reporting(), self.turn());
            tokio::select! {
                output = &mut future => return Some(output),
                _ = self.reports.tick(), if reporting => self.report(),
                () = sleep_until(turn.into()) => self.take_turn(),
                () = self.stop.cancelled() => return None,
            }
        }
        None
    }

    /// One link, until it ends.
    async fn serve(&mut self, stream: TcpStream, code: Option<Bytes>) -> End {
        stream.set_nodelay(true).ok();
        let ends = stream.local_addr().and_then(|from| Ok((from, stream.peer_addr()?)));
        if let Ok((from, to)) = ends {
            self.log(|| Entry::Connected { from: from.to_string(), to: to.to_string() });
        }
        let (mut reader, mut writer) = stream.into_split();
        let (mut input, mut out) = (BytesMut::with_capacity(4096), BytesMut::new());
        match code {
            Some(code) => self.session.connected_with(Instant::now(), &code),
            None => self.session.connected(Instant::now()),
        }
        while !self.is_finished() {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Transmit(bytes) => out.extend_from_slice(&bytes),
                    Output::Event(event) => self.on_event(event),
                    Output::Close(reason) => return End::Lost(reason),
                }
            }
            if self.leaves {
                self.leave(reader, writer, input, out).await;
                return End::Left;
            }
            let (reporting, turn, deadline) = (self.is_reporting(), self.turn(), self.session.deadline());
            let stays_until = self.servers.stays_until();
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    let count = read.unwrap_or(0);
                    if let Err(reason) = self.session.receive(Instant::now(), &mut input, count) {
                        return End::Lost(reason);
                    }
                }
                written = writer.write_buf(&mut out), if !out.is_empty() => {
                    if written.is_err() {
                        return End::Lost(CloseReason::Ended);
                    }
                }
                _ = self.reports.tick(), if reporting => self.report(),
                () = sleep_until(deadline.into()) => self.session.tick(Instant::now()),
                () = sleep_until(turn.into()) => self.take_turn(),
                () = sleep_until(stays_until.unwrap_or(turn).into()), if stays_until.is_some() => {
                    self.expire();
                    self.leaves = self.servers.is_elsewhere();
                }
                () = self.stop.cancelled() => return End::Finished,
            }
        }
        End::Finished
    }

    /// Says what is still to be said, closes its own side and hears the platform out: what it has acknowledged need not
    /// be sent to the next server.
    async fn leave(
        &mut self,
        mut reader: OwnedReadHalf,
        mut writer: OwnedWriteHalf,
        mut input: BytesMut,
        out: BytesMut,
    ) {
        let session = &mut self.session;
        let hears_out = async {
            writer.write_all(&out).await?;
            writer.shutdown().await?;
            loop {
                let count = reader.read_buf(&mut input).await?;
                if session.receive(Instant::now(), &mut input, count).is_err() {
                    return io::Result::Ok(());
                }
            }
        };
        // A platform that is gone, or does not close, is left all the same.
        let _ = timeout(LEAVE_LIMIT, hears_out).await;
    }

    /// Notices that its time at the server that it was sent to is over.
    fn expire(&mut self) {
        if self.servers.expire(Instant::now()) {
            self.account.redirects.expired += 1;
            debug!(terminal.sim = %self.account.sim, "terminal {} goes home: its time is over", self.account.sim);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Authenticated => {
                self.account.log_ins += 1;
                self.servers.worked();
                self.log(|| Entry::Authenticated);
                info!(terminal.sim = %self.account.sim, "terminal {} is on line", self.account.sim);
            }
            Event::Acknowledged { key } => self.account.acknowledged(sequence(key)),
            Event::Refused { key, .. } => self.account.refused.push(sequence(key)),
            Event::Resent { kind, .. } => self.account.resent(kind),
            Event::Command { id, serial, body } => self.on_command(id, serial, &body),
            Event::Received { id, serial } => self.log(|| Entry::Received { id: message(id), serial }),
            // Reports are the ledger's matter, heartbeats nobody's.
            Event::Sent { id: 0x0200 | 0x0704 | 0x0002, .. } => {}
            Event::Sent { id, serial } => self.log(|| Entry::Sent { id: message(id), serial }),
            Event::RegistrationRefused { result } => {
                info!(terminal.sim = %self.account.sim, "terminal {} is not admitted: result {result}", self.account.sim);
            }
            Event::Registered { .. }
            | Event::AuthenticationRefused
            | Event::Dropped { .. }
            | Event::Time(_) => {}
        }
    }

    fn report(&mut self) {
        let made = self.vehicle.report(Utc::now());
        self.account.made(&made);
        let (now, key) = (Instant::now(), u64::from(made.sequence));
        self.session.report(now, key, made.location.encode());
        let roll = self.rng.random_range(0..1_000);
        let Settings {
            resend_same_serial_permille, resend_new_serial_permille, resend_batch_permille, ..
        } = *self.settings;
        let same = resend_same_serial_permille;
        let new = same + resend_new_serial_permille;
        let kind = match roll {
            roll if roll < same => Resend::SameSerial,
            roll if roll < new => Resend::NewSerial,
            roll if roll < new + resend_batch_permille => Resend::Batch,
            _ => return,
        };
        self.session.resend(now, key, kind);
    }

    fn log(&self, entry: impl FnOnce() -> Entry) {
        self.log.write(&self.account.sim, self.links, entry);
    }

    fn here(&self) -> Location {
        let now = Utc::now();
        Location { time: bcd(now), ..self.vehicle.location(now) }
    }

    fn is_reporting(&self) -> bool {
        self.draining_until.is_none()
    }

    /// When its next phase begins.
    fn turn(&self) -> Instant {
        const FAR: Duration = Duration::from_secs(24 * 3600);
        self.draining_until.or(self.report_until).unwrap_or_else(|| Instant::now() + FAR)
    }

    fn take_turn(&mut self) {
        if self.draining_until.is_none() && self.report_until.is_some_and(|until| until <= Instant::now()) {
            self.draining_until = Some(Instant::now() + Duration::from_secs(self.settings.drain_s));
        }
    }

    fn is_finished(&self) -> bool {
        let drained = |until| self.session.unacknowledged() == 0 || until <= Instant::now();
        self.stop.is_cancelled() || self.draining_until.is_some_and(drained)
    }
}

/// Reports are kept under their numbers.
fn sequence(key: u64) -> u32 {
    u32::try_from(key).expect("a key is the number of a report")
}
