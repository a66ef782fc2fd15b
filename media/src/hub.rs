//! The hub: the one owner of every stream's state, from the first viewer to the last.
//!
//! Idle (not in the map) → Starting (the terminal is asked, viewers are parked) → Live → Recovering (the source
//! was lost under viewers who stay: 0x9101 again, with pauses that grow) → lingering without viewers → 0x9102
//! → Idle. Everything reaches the hub as a message to its one task, answers of terminals too; nobody calls
//! back. Knows no sockets, no packets and no HTTP.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::{Events, Terminals};
use model::{AvAttributes, Command, Event, Reply, SendError, Sim, StreamChange, StreamKey, TerminalLink};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::Settings;
use crate::ring::Bounds;
use crate::stream::{EndReason, Phase, Stream};

/// A terminal that answered 0x9101 but sends nothing is asked again this often; some need it.
const ASK_AGAIN: Duration = Duration::from_secs(6);

/// A source this long without a byte gives way to a second connection for the same pair.
const REPLACEABLE_AFTER: Duration = Duration::from_secs(5);

/// A source that ran this long has recovered: its next loss has the whole recovery time again.
const STEADY_AFTER: Duration = Duration::from_secs(10);

/// Longest pause between two requests to a lost source.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// A live port as terminals are told of it.
#[derive(Clone, Debug)]
pub(crate) struct LivePort {
    /// Host to dial; None: the gateway's own address.
    pub(crate) host: Option<String>,
    /// TCP port to dial.
    pub(crate) tcp_port: u16,
}

/// What a connection must bring to be a stream's source: on which port of the pool, whose, which channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expectation {
    /// Index into the pool.
    pub(crate) port: usize,
    /// The terminal's number.
    pub(crate) sim: Sim,
    /// The logical channel.
    pub(crate) channel: u8,
}

/// How the hub tells a connection that it is no longer a stream's source.
#[derive(Debug, Default)]
pub(crate) struct Revocation {
    revoked: AtomicBool,
    wake: Arc<Notify>,
}

impl Revocation {
    /// `wake` is the connection's, shared by all of its sources.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        Self { revoked: AtomicBool::new(false), wake }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// A connection's right to be a stream's source.
#[derive(Debug)]
pub(crate) struct Claimed {
    /// Where its units go.
    pub(crate) stream: Arc<Stream>,
    /// Names this source towards the hub.
    pub(crate) source: u64,
    /// The stream's time at the source's time 0, 90 kHz.
    pub(crate) base_90k: u64,
    /// What the terminal says of its sound and pictures.
    pub(crate) av: Option<AvAttributes>,
}

/// Why a connection may not be a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimRefused {
    /// Nothing was asked for.
    NoRequest,
    /// Another connection is, and it is alive.
    Running,
}

/// A viewer's hold on a stream: the stream runs on while there is one.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The stream.
    pub(crate) stream: Arc<Stream>,
    instance: u64,
    hub: HubHandle,
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.hub.send(Message::Detach { key: self.stream.key, instance: self.instance });
    }
}

#[derive(Debug)]
enum Message {
    Attach {
        key: StreamKey,
        reply: oneshot::Sender<Attachment>,
    },
    Detach {
        key: StreamKey,
        instance: u64,
    },
    Linked {
        key: StreamKey,
        instance: u64,
        result: Result<TerminalLink, SendError>,
    },
    Asked {
        key: StreamKey,
        instance: u64,
        result: Result<Reply, SendError>,
    },
    Stopped {
        key: StreamKey,
    },
    Claim {
        expectation: Expectation,
        revocation: Arc<Revocation>,
        reply: oneshot::Sender<Result<Claimed, ClaimRefused>>,
    },
    Arrived {
        key: StreamKey,
        source: u64,
    },
    Lost {
        key: StreamKey,
        source: u64,
    },
    Running {
        key: StreamKey,
        reply: oneshot::Sender<Option<Arc<Stream>>>,
    },
    Shutdown {
        done: oneshot::Sender<()>,
    },
}

/// The way to the hub. Its queue needs no bound of its own: whoever sends is bounded (viewers, connections)
/// and waits for the answer, or sends once when it goes.
#[derive(Clone, Debug)]
pub(crate) struct HubHandle {
    sender: mpsc::UnboundedSender<Message>,
}

impl HubHandle {
    fn send(&self, message: Message) {
        // An error only says that the server has stopped.
        let _ = self.sender.send(message);
    }

    /// Joins the viewers of `key`, starting the stream where it does not run. Does not wait for pictures.
    pub(crate) async fn attach(&self, key: StreamKey) -> Result<Attachment, EndReason> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Attach { key, reply });
        answer.await.map_err(|_| EndReason::Shutdown)
    }

    /// Asks to be the source of what `expectation` names.
    pub(crate) async fn claim(
        &self,
        expectation: Expectation,
        revocation: Arc<Revocation>,
    ) -> Result<Claimed, ClaimRefused> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Claim { expectation, revocation, reply });
        answer.await.unwrap_or(Err(ClaimRefused::NoRequest))
    }

    /// The source's first key frame is in the ring.
    pub(crate) fn arrived(&self, key: StreamKey, source: u64) {
        self.send(Message::Arrived { key, source });
    }

    /// The source is gone, and all its units are in the ring.
    pub(crate) fn lost(&self, key: StreamKey, source: u64) {
        self.send(Message::Lost { key, source });
    }

    /// The stream, if frames have flowed.
    pub(crate) async fn running(&self, key: StreamKey) -> Option<Arc<Stream>> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Running { key, reply });
        answer.await.ok().flatten()
    }

    /// Ends every stream and the hub, and waits until terminals have been told or their time is over.
    pub(crate) async fn shutdown(&self) {
        let (done, finished) = oneshot::channel();
        self.send(Message::Shutdown { done });
        let _ = finished.await;
    }
}

struct Source {
    id: u64,
    revocation: Arc<Revocation>,
    /// Whether 0x9101 was sent again since it came.
    asked_again: bool,
}

/// What a run of a stream waits for.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The 0x9102 of the run before.
    Waiting,
    /// The first key frame, until then; asked again at the second.
    Starting { until: Instant, ask_at: Option<Instant> },
    /// Nothing.
    Live { since: Instant },
    /// The source's return, until then; asked again at the second (None: an answer is outstanding).
    Recovering { until: Instant, ask_at: Option<Instant>, pause: Duration },
}

struct Entry {
    stream: Arc<Stream>,
    instance: u64,
    viewers: usize,
    linger_until: Option<Instant>,
    expectation: Option<Expectation>,
    source: Option<Source>,
    state: State,
    /// When a recovery that never became steady ends.
    recover_until: Option<Instant>,
    was_live: bool,
}

impl Entry {
    fn deadline(&self, idle: Duration) -> Option<Instant> {
        let state = match self.state {
            State::Waiting => None,
            State::Starting { until, ask_at } | State::Recovering { until, ask_at, .. } => {
                Some(ask_at.map_or(until, |ask_at| ask_at.min(until)))
            }
            State::Live { .. } => Some(self.stream.ring.newest_at() + idle),
        };
        [state, self.linger_until].into_iter().flatten().min()
    }
}

/// See the module.
pub(crate) struct Hub {
    settings: Arc<Settings>,
    terminals: Arc<dyn Terminals>,
    events: Arc<dyn Events>,
    ports: Vec<LivePort>,
    streams: HashMap<StreamKey, Entry>,
    stopping: HashSet<StreamKey>,
    expected: HashMap<Expectation, StreamKey>,
    inbox: mpsc::UnboundedReceiver<Message>,
    handle: HubHandle,
    tasks: TaskTracker,
    serial: u64,
}

/// How long a stopping server waits for terminals' answers to 0x9102.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

impl Hub {
    /// A hub that [`run`](Self::run)s later, and the way to it.
    pub(crate) fn new(
        settings: Arc<Settings>,
        terminals: Arc<dyn Terminals>,
        events: Arc<dyn Events>,
        ports: Vec<LivePort>,
    ) -> (Self, HubHandle) {
        let (sender, inbox) = mpsc::unbounded_channel();
        let handle = HubHandle { sender };
        let hub = Self {
            settings,
            terminals,
            events,
            ports,
            streams: HashMap::new(),
            stopping: HashSet::new(),
            expected: HashMap::new(),
            inbox,
            handle: handle.clone(),
            tasks: TaskTracker::new(),
            serial: 0,
        };
        (hub, handle)
    }

    /// Takes messages and keeps deadlines until told to stop.
    pub(crate) async fn run(mut self) {
        loop {
            let deadline = self.deadline();
            let message = tokio::select! {
                message = self.inbox.recv() => message,
                () = wait_until(deadline) => {
                    self.tick(Instant::now());
                    continue;
                }
            };
            match message {
                Some(Message::Shutdown { done }) => {
                    self.stop().await;
                    let _ = done.send(());
                    return;
                }
                Some(message) => self.receive(message, Instant::now()),
                None => return,
            }
        }
    }

    async fn stop(mut self) {
        let keys: Vec<_> = self.streams.keys().copied().collect();
        for key in keys {
            self.end(key, EndReason::Shutdown);
        }
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN_WAIT, self.tasks.wait()).await;
    }

    fn idle(&self) -> Duration {
        Duration::from_secs(self.settings.source_idle_s)
    }

    fn deadline(&self) -> Option<Instant> {
        self.streams.values().filter_map(|entry| entry.deadline(self.idle())).min()
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn receive(&mut self, message: Message, now: Instant) {
        match message {
            Message::Attach { key, reply } => self.attach(key, now, reply),
            Message::Detach { key, instance } => self.detach(key, instance, now),
            Message::Linked { key, instance, result } => self.linked(key, instance, result),
            Message::Asked { key, instance, result } => self.asked(key, instance, result, now),
            Message::Stopped { key } => self.stopped(key, now),
            Message::Claim { expectation, revocation, reply } => {
                // A connection that no longer waits is no source; its loss will be told.
                let _ = reply.send(self.claim(&expectation, revocation, now));
            }
            Message::Arrived { key, source } => self.arrived(key, source, now),
            Message::Lost { key, source } => self.lost(key, source, now),
            Message::Running { key, reply } => {
                let running = self.streams.get(&key).filter(|entry| entry.was_live);
                let _ = reply.send(running.map(|entry| Arc::clone(&entry.stream)));
            }
            Message::Shutdown { .. } => unreachable!("taken by run"),
        }
    }

    /// The run of `key` that `instance` names, if it is still that one.
    fn entry(&mut self, key: StreamKey, instance: u64) -> Option<&mut Entry> {
        self.streams.get_mut(&key).filter(|entry| entry.instance == instance)
    }

    fn attach(&mut self, key: StreamKey, now: Instant, reply: oneshot::Sender<Attachment>) {
        if !self.streams.contains_key(&key) {
            self.begin(key, now);
        }
        let Some(entry) = self.streams.get_mut(&key) else { return };
        entry.viewers += 1;
        entry.linger_until = None;
        let attachment = Attachment {
            stream: Arc::clone(&entry.stream),
            instance: entry.instance,
            hub: self.handle.clone(),
        };
        // A viewer that has gone meanwhile drops the attachment, which detaches it.
        let _ = reply.send(attachment);
    }

    fn detach(&mut self, key: StreamKey, instance: u64, now: Instant) {
        let linger = Duration::from_secs(self.settings.linger_s);
        let Some(entry) = self.entry(key, instance) else { return };
        entry.viewers -= 1;
        if entry.viewers == 0 {
            if matches!(entry.state, State::Recovering { .. }) {
                self.end(key, EndReason::Unwatched);
            } else {
                entry.linger_until = Some(now + linger);
            }
        }
    }

    fn begin(&mut self, key: StreamKey, now: Instant) {
        let bounds = Bounds {
            bytes_max: self.settings.ring_bytes_max,
            units_max: self.settings.ring_units_max,
            span_90k_max: self.settings.ring_ms_max * 90,
        };
        let instance = self.serial();
        let entry = Entry {
            stream: Arc::new(Stream::new(key, bounds)),
            instance,
            viewers: 0,
            linger_until: None,
            expectation: None,
            source: None,
            state: State::Waiting,
            recover_until: None,
            was_live: false,
        };
        self.streams.insert(key, entry);
        if !self.stopping.contains(&key) {
            self.start(key, now);
        }
    }

    fn start(&mut self, key: StreamKey, now: Instant) {
        let until = now + Duration::from_secs(self.settings.start_s);
        let Some(entry) = self.streams.get_mut(&key) else { return };
        entry.state = State::Starting { until, ask_at: None };
        let (terminals, hub, instance) = (Arc::clone(&self.terminals), self.handle.clone(), entry.instance);
        self.tasks.spawn(async move {
            let result = terminals.link(key.terminal).await;
            hub.send(Message::Linked { key, instance, result });
        });
    }

    fn linked(&mut self, key: StreamKey, instance: u64, result: Result<TerminalLink, SendError>) {
        if self.entry(key, instance).is_none() {
            return;
        }
        let link = match result {
            Ok(link) => link,
            Err(error) => return self.end(key, error.into()),
        };
        let places = (0..self.ports.len()).map(|port| Expectation {
            port,
            sim: link.sim.clone(),
            channel: key.channel.number(),
        });
        let mut holder = None;
        let mut free = None;
        for place in places {
            match self.expected.get(&place) {
                Some(other) => holder = holder.or(Some(*other)),
                None => {
                    free = Some(place);
                    break;
                }
            }
        }
        let Some(place) = free else {
            return self.end(key, EndReason::Taken(holder.unwrap_or(key)));
        };
        self.expected.insert(place.clone(), key);
        if let Some(entry) = self.streams.get_mut(&key) {
            entry.expectation = Some(place);
            entry.stream.set_av(link.av);
        }
        self.ask(key);
    }

    /// Sends 0x9101. The connection it brings may come before the terminal's answer.
    fn ask(&mut self, key: StreamKey) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        let Some(port) = entry.expectation.as_ref().and_then(|place| self.ports.get(place.port)) else {
            return;
        };
        if let Some(source) = &mut entry.source {
            source.asked_again = true;
        }
        let command = Command::StartLive {
            channel: key.channel,
            profile: key.profile,
            host: port.host.clone(),
            tcp_port: port.tcp_port,
        };
        let (terminals, hub, instance) = (Arc::clone(&self.terminals), self.handle.clone(), entry.instance);
        self.tasks.spawn(async move {
            let result = terminals.send(key.terminal, command).await;
            hub.send(Message::Asked { key, instance, result });
        });
    }

    fn asked(&mut self, key: StreamKey, instance: u64, result: Result<Reply, SendError>, now: Instant) {
        let Some(entry) = self.entry(key, instance) else { return };
        match (&mut entry.state, result) {
            (State::Starting { ask_at, .. }, Ok(_)) => *ask_at = Some(now + ASK_AGAIN),
            // Some stream without answering.
            (State::Starting { .. }, Err(SendError::Timeout(_))) => {}
            (State::Starting { .. }, Err(error)) if entry.source.is_none() => self.end(key, error.into()),
            (State::Recovering { ask_at, pause, .. }, result) => {
                if let Err(error) = &result {
                    debug!(stream = %key, "stream {key} was not resumed: {error}");
                }
                *ask_at = Some(now + *pause);
                *pause = (*pause * 2).min(PAUSE_MAX);
            }
            _ => {}
        }
    }

    fn stopped(&mut self, key: StreamKey, now: Instant) {
        self.stopping.remove(&key);
        if self.streams.get(&key).is_some_and(|entry| matches!(entry.state, State::Waiting)) {
            self.start(key, now);
        }
    }

    fn claim(
        &mut self,
        expectation: &Expectation,
        revocation: Arc<Revocation>,
        now: Instant,
    ) -> Result<Claimed, ClaimRefused> {
        let key = *self.expected.get(expectation).ok_or(ClaimRefused::NoRequest)?;
        let id = self.serial();
        let entry = self.streams.get_mut(&key).ok_or(ClaimRefused::NoRequest)?;
        if let Some(old) = &entry.source {
            let silent = now.saturating_duration_since(entry.stream.ring.newest_at());
            if !old.asked_again && silent < REPLACEABLE_AFTER {
                return Err(ClaimRefused::Running);
            }
            old.revocation.revoke();
        }
        entry.source = Some(Source { id, revocation, asked_again: false });
        let base_90k = entry.stream.ring.resume_90k();
        entry.stream.ring.touch();
        Ok(Claimed { stream: Arc::clone(&entry.stream), source: id, base_90k, av: entry.stream.av() })
    }

    fn arrived(&mut self, key: StreamKey, source: u64, now: Instant) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        if entry.source.as_ref().is_none_or(|running| running.id != source) {
            return;
        }
        entry.state = State::Live { since: now };
        entry.was_live = true;
        entry.stream.set_phase(Phase::Live);
        info!(stream = %key, "stream {key} is live");
        self.events.publish(Event::Stream { stream: key, change: StreamChange::Live });
    }

    fn lost(&mut self, key: StreamKey, source: u64, now: Instant) {
        let pause = Duration::from_millis(self.settings.recover_pause_ms);
        let recover = Duration::from_secs(self.settings.recover_s);
        let Some(entry) = self.streams.get_mut(&key) else { return };
        if entry.source.as_ref().is_none_or(|running| running.id != source) {
            return;
        }
        entry.source = None;
        match &mut entry.state {
            State::Live { since } => {
                if entry.viewers == 0 {
                    return self.end(key, EndReason::Unwatched);
                }
                let steady = now.saturating_duration_since(*since) >= STEADY_AFTER;
                let until = entry.recover_until.filter(|_| !steady).unwrap_or(now + recover);
                entry.recover_until = Some(until);
                entry.state = State::Recovering { until, ask_at: Some(now + pause), pause: pause * 2 };
                entry.stream.set_phase(Phase::Recovering);
                info!(stream = %key, "stream {key} lost its source");
                self.events.publish(Event::Stream { stream: key, change: StreamChange::Recovering });
            }
            State::Starting { ask_at, .. } | State::Recovering { ask_at, .. } => *ask_at = Some(now + pause),
            State::Waiting => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        let idle = self.idle();
        let due: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, entry)| entry.deadline(idle).is_some_and(|deadline| deadline <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.due(key, now);
        }
    }

    fn due(&mut self, key: StreamKey, now: Instant) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        if entry.linger_until.is_some_and(|until| until <= now) {
            return self.end(key, EndReason::Unwatched);
        }
        match &mut entry.state {
            State::Starting { until, .. } if *until <= now => self.end(key, EndReason::NoPicture),
            State::Recovering { until, .. } if *until <= now => self.end(key, EndReason::Lost),
            State::Starting { ask_at, .. } | State::Recovering { ask_at, .. }
                if ask_at.is_some_and(|at| at <= now) =>
            {
                *ask_at = None;
                // Bytes come: it only has no key frame yet.
                if entry.source.is_none() {
                    self.ask(key);
                }
            }
            State::Live { .. } => {
                if let Some(source) = &entry.source {
                    source.revocation.revoke();
                    let id = source.id;
                    self.lost(key, id, now);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, key: StreamKey, reason: EndReason) {
        let Some(entry) = self.streams.remove(&key) else { return };
        if let Some(source) = entry.source {
            source.revocation.revoke();
        }
        info!(stream = %key, "stream {key} ended: {reason}");
        entry.stream.set_phase(Phase::Ended(reason));
        if entry.was_live {
            self.events.publish(Event::Stream { stream: key, change: StreamChange::Ended });
        }
        let Some(expectation) = entry.expectation else { return };
        self.expected.remove(&expectation);
        self.stopping.insert(key);
        let (terminals, hub) = (Arc::clone(&self.terminals), self.handle.clone());
        self.tasks.spawn(async move {
            let command = Command::StopLive { channel: key.channel, profile: key.profile };
            if let Err(error) = terminals.send(key.terminal, command).await {
                debug!(stream = %key, "0x9102 of {key} was not taken: {error}");
            }
            hub.send(Message::Stopped { key });
        });
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
