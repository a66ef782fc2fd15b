//! One simulated terminal on a real socket: drives a `terminal::Session`, reports, obeys commands, comes back when
//! its link dies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use protocol::jt808::terminal::{CloseReason, Event, Location, Output, Resend, Session};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

use crate::Settings;
use crate::command::{LiveControl, StartLive, live_control};
use crate::ledger::Account;
use crate::stream::{Camera, Target};
use crate::vehicle::{Vehicle, bcd};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// A refused registration is asked for again in this time only: somebody has to approve it first.
const REFUSED_BACK_OFF: Duration = Duration::from_secs(5);

/// Results of 0x0001.
const DONE: u8 = 0;
const WRONG: u8 = 2;
const UNSUPPORTED: u8 = 3;

/// One terminal and its vehicle.
pub(crate) struct Terminal {
    settings: Arc<Settings>,
    session: Session,
    vehicle: Vehicle,
    camera: Camera,
    /// The SIM as its 1078 packets carry it: 6 or 10 bytes.
    sim: Vec<u8>,
    account: Account,
    streams: HashMap<u8, DropGuard>,
    rng: StdRng,
    reports: Interval,
    /// When it makes no more reports.
    report_until: Option<Instant>,
    draining_until: Option<Instant>,
    stop: CancellationToken,
}

impl Terminal {
    pub(crate) fn new(
        settings: Arc<Settings>,
        session: Session,
        vehicle: Vehicle,
        camera: Camera,
        sim: Vec<u8>,
        account: Account,
        stop: CancellationToken,
    ) -> Self {
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
            account,
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
            let gateway = self.settings.gateway.clone();
            let connecting = timeout(CONNECT_LIMIT, TcpStream::connect(gateway));
            if let Some(Ok(Ok(stream))) = self.meanwhile(connecting).await {
                let log_ins = self.account.log_ins;
                let reason = self.serve(stream).await;
                debug!(terminal.sim = %self.account.sim, "terminal {} lost its link: {reason:?}", self.account.sim);
                self.session.disconnected();
                // What arrived last still counts, above all an acknowledgement.
                while let Some(output) = self.session.poll() {
                    if let Output::Event(event) = output {
                        self.on_event(event);
                    }
                }
                if self.account.log_ins > log_ins {
                    back_off = BACK_OFF_FIRST;
                }
                if matches!(reason, Some(CloseReason::RegistrationRefused { .. })) {
                    back_off = REFUSED_BACK_OFF;
                }
            }
            let jitter = self.rng.random_range(0.5..1.0);
            self.meanwhile(sleep(back_off.mul_f64(jitter))).await;
            back_off =
                (back_off * 2).min(Duration::from_millis(self.settings.reconnect_max_ms).max(BACK_OFF_FIRST));
        }
        self.account
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

    /// One link, until it ends. None when the terminal itself has finished.
    async fn serve(&mut self, stream: TcpStream) -> Option<CloseReason> {
        stream.set_nodelay(true).ok();
        let (mut reader, mut writer) = stream.into_split();
        let (mut input, mut out) = (BytesMut::with_capacity(4096), BytesMut::new());
        self.session.connected(Instant::now());
        while !self.is_finished() {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Transmit(bytes) => out.extend_from_slice(&bytes),
                    Output::Event(event) => self.on_event(event),
                    Output::Close(reason) => return Some(reason),
                }
            }
            let (reporting, turn, deadline) = (self.is_reporting(), self.turn(), self.session.deadline());
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    let count = read.unwrap_or(0);
                    if let Err(reason) = self.session.receive(Instant::now(), &mut input, count) {
                        return Some(reason);
                    }
                }
                written = writer.write_buf(&mut out), if !out.is_empty() => {
                    if written.is_err() {
                        return Some(CloseReason::Ended);
                    }
                }
                _ = self.reports.tick(), if reporting => self.report(),
                () = sleep_until(deadline.into()) => self.session.tick(Instant::now()),
                () = sleep_until(turn.into()) => self.take_turn(),
                () = self.stop.cancelled() => return None,
            }
        }
        None
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Authenticated => {
                self.account.log_ins += 1;
                info!(terminal.sim = %self.account.sim, "terminal {} is on line", self.account.sim);
            }
            Event::Acknowledged { key } => self.account.acknowledged(sequence(key)),
            Event::Refused { key, .. } => self.account.refused.push(sequence(key)),
            Event::Resent { kind, .. } => self.account.resent(kind),
            Event::Command { id, serial, body } => self.on_command(id, serial, body),
            Event::RegistrationRefused { result } => {
                info!(terminal.sim = %self.account.sim, "terminal {} is not admitted: result {result}", self.account.sim);
            }
            Event::Registered { .. }
            | Event::AuthenticationRefused
            | Event::Dropped { .. }
            | Event::Time(_) => {}
        }
    }

    fn on_command(&mut self, id: u16, serial: u16, body: Bytes) {
        let now = Instant::now();
        let result = match id {
            0x8201 => {
                let mut answer = serial.to_be_bytes().to_vec();
                answer.extend(self.here().encode());
                return self.session.answer_with(now, id, serial, 0x0201, &answer);
            }
            0x9003 => return self.session.answer_with(now, id, serial, 0x1003, &self.camera.attributes()),
            0x9101 => StartLive::decode(&body).map_or(WRONG, |command| self.start_live(command)),
            0x9102 => live_control(&body).map_or(WRONG, |(channel, control)| {
                if control == LiveControl::Close {
                    self.streams.remove(&channel);
                }
                DONE
            }),
            // Text, tracking, alarm confirmation, stream status: nothing to see in a simulation, but taken.
            0x8300 | 0x8202 | 0x8203 | 0x9105 => DONE,
            _ => UNSUPPORTED,
        };
        self.session.answer(now, id, serial, result);
    }

    fn start_live(&mut self, command: StartLive) -> u8 {
        let StartLive { host, tcp_port, channel, kind } = command;
        if !self.camera.has(channel) || kind > 1 || tcp_port == 0 {
            return UNSUPPORTED;
        }
        let stop = self.stop.child_token();
        // A stream of the same channel that still runs ends with the guard that this replaces.
        self.streams.insert(channel, stop.clone().drop_guard());
        let target = Target { host, tcp_port, sim: self.sim.clone(), channel, sound: kind == 0 };
        let (camera, sim) = (self.camera.clone(), self.account.sim.clone());
        tokio::spawn(async move {
            tokio::select! {
                ended = camera.send(target) => match ended {
                    Ok(()) => debug!(terminal.sim = %sim, channel, "terminal {sim} sent channel {channel} to its end"),
                    Err(error) => info!(terminal.sim = %sim, channel, "terminal {sim} stopped sending channel {channel}: {error}"),
                },
                () = stop.cancelled() => debug!(terminal.sim = %sim, channel, "terminal {sim} was told to stop channel {channel}"),
            }
        });
        DONE
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
