//! The hub: the one owner of every stream, from the first viewer to the last.
//!
//! Idle (not in the map) → Starting (the terminal is asked, viewers are parked) → Live → Recovering (the source
//! was lost under viewers who stay: 0x9101 again, with pauses that grow) → lingering without viewers → 0x9102
//! → Idle. What a single run goes through is [`Run`]'s; here streams meet: places on the live ports, and who
//! waits for whose. Everything reaches the hub as a message to its one task, answers of terminals too; nobody
//! calls back. Knows no sockets, no packets and no HTTP.

mod handle;
mod run;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Events, Terminals};
use model::{Command, Event, Reply, SendError, StreamChange, StreamKey, TerminalLink};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use crate::Settings;
use crate::ring::Bounds;
use crate::stream::{EndReason, Phase, Stream};
use handle::Message;
use run::{Pace, Run, Step};

pub(crate) use handle::{Attachment, ClaimRefused, Claimed, Expectation, HubHandle, Revocation};

/// How long a stopping server waits for terminals' answers to 0x9102.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(3);

/// A place is free again when the terminal answered 0x9102, or this long after it was sent.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// A live port as terminals are told of it.
#[derive(Clone, Debug)]
pub(crate) struct LivePort {
    /// Host to dial; None: the gateway's own address.
    pub(crate) host: Option<String>,
    /// TCP port to dial.
    pub(crate) tcp_port: u16,
}

struct Entry {
    stream: Arc<Stream>,
    instance: u64,
    run: Run,
    /// The place that its source has to come to, while it has one.
    place: Option<Expectation>,
    source: Option<Arc<Revocation>>,
}

/// A stream that has ended but whose terminal may still send.
struct Stopping {
    instance: u64,
    place: Expectation,
    until: Instant,
}

/// See the module.
pub(crate) struct Hub {
    settings: Arc<Settings>,
    terminals: Arc<dyn Terminals>,
    events: Arc<dyn Events>,
    ports: Vec<LivePort>,
    streams: HashMap<StreamKey, Entry>,
    stopping: HashMap<StreamKey, Stopping>,
    /// Whose every place is, those of stopping streams too.
    places: HashMap<Expectation, StreamKey>,
    inbox: mpsc::UnboundedReceiver<Message>,
    handle: HubHandle,
    tasks: TaskTracker,
    serial: u64,
}

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
            stopping: HashMap::new(),
            places: HashMap::new(),
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
            self.end(key, EndReason::Shutdown, Instant::now());
        }
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN_WAIT, self.tasks.wait()).await;
    }

    fn deadline(&self) -> Option<Instant> {
        let runs = self.streams.values().filter_map(|entry| entry.run.deadline(entry.stream.ring.signs()));
        runs.chain(self.stopping.values().map(|stopping| stopping.until)).min()
    }

    fn tick(&mut self, now: Instant) {
        let stopped: Vec<_> = self
            .stopping
            .iter()
            .filter(|(_, stopping)| stopping.until <= now)
            .map(|(key, stopping)| (*key, stopping.instance))
            .collect();
        for (key, instance) in stopped {
            self.stopped(key, instance, now);
        }
        let steps: Vec<_> = self
            .streams
            .iter_mut()
            .map(|(key, entry)| (*key, entry.run.due(entry.stream.ring.signs(), now)))
            .filter(|(_, step)| *step != Step::Nothing)
            .collect();
        for (key, step) in steps {
            self.step(key, step, now);
        }
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn receive(&mut self, message: Message, now: Instant) {
        match message {
            Message::Attach { key, reply } => self.attach(key, now, reply),
            Message::Detach { key, instance } => {
                let step = self.entry(key, instance).map(|entry| entry.run.leave(now));
                self.step(key, step.unwrap_or(Step::Nothing), now);
            }
            Message::Linked { key, instance, result } => self.linked(key, instance, result, now),
            Message::Asked { key, instance, result } => self.asked(key, instance, result, now),
            Message::Stopped { key, instance } => self.stopped(key, instance, now),
            Message::Claim { expectation, revocation, reply } => {
                // A connection that no longer waits is no source; its loss will be told.
                let _ = reply.send(self.claim(&expectation, revocation, now));
            }
            Message::Arrived { key, source } => self.arrived(key, source, now),
            Message::Lost { key, source } => {
                let step = self.streams.get_mut(&key).map(|entry| entry.run.lost(source, now));
                self.step(key, step.unwrap_or(Step::Nothing), now);
            }
            Message::Running { key, reply } => {
                let running = self.streams.get(&key).filter(|entry| entry.run.was_live());
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
        entry.run.join();
        let attachment = Attachment {
            stream: Arc::clone(&entry.stream),
            instance: entry.instance,
            hub: self.handle.clone(),
        };
        // A viewer that has gone meanwhile drops the attachment, which detaches it.
        let _ = reply.send(attachment);
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
            run: Run::new(Pace::from(&*self.settings)),
            place: None,
            source: None,
        };
        self.streams.insert(key, entry);
        if !self.stopping.contains_key(&key) {
            self.start(key, now);
        }
    }

    fn start(&mut self, key: StreamKey, now: Instant) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        entry.run.start(now);
        let (terminals, hub, instance) = (Arc::clone(&self.terminals), self.handle.clone(), entry.instance);
        self.tasks.spawn(async move {
            let result = terminals.link(key.terminal).await;
            hub.send(Message::Linked { key, instance, result });
        });
    }

    fn linked(
        &mut self,
        key: StreamKey,
        instance: u64,
        result: Result<TerminalLink, SendError>,
        now: Instant,
    ) {
        if self.entry(key, instance).is_none() {
            return;
        }
        let link = match result {
            Ok(link) => link,
            Err(error) => return self.end(key, error.into(), now),
        };
        let places: Vec<_> = (0..self.ports.len())
            .map(|port| Expectation { port, sim: link.sim.clone(), channel: key.channel.number() })
            .collect();
        if let Some(free) = places.iter().find(|place| !self.places.contains_key(place)) {
            self.places.insert(free.clone(), key);
            if let Some(entry) = self.streams.get_mut(&key) {
                entry.place = Some(free.clone());
                entry.stream.set_av(link.av);
            }
            return self.ask(key);
        }
        // None is free: one may be on its way to it, or carry a stream that lingers for nobody.
        let holders: Vec<_> = places.iter().filter_map(|place| self.places.get(place).copied()).collect();
        if !holders.iter().any(|holder| self.stopping.contains_key(holder)) {
            let unwatched = holders
                .iter()
                .find(|holder| self.streams.get(holder).is_some_and(|entry| entry.run.is_unwatched()));
            match (unwatched, holders.first()) {
                (Some(unwatched), _) => self.end(*unwatched, EndReason::Unwatched, now),
                (None, holder) => {
                    return self.end(key, EndReason::Taken(holder.copied().unwrap_or(key)), now);
                }
            }
        }
        if let Some(entry) = self.streams.get_mut(&key) {
            entry.run.park();
        }
    }

    /// Sends 0x9101. The connection it brings may come before the terminal's answer.
    fn ask(&mut self, key: StreamKey) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        let Some(port) = entry.place.as_ref().and_then(|place| self.ports.get(place.port)) else {
            return;
        };
        entry.run.ask();
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
        if let Err(error) = &result {
            debug!(stream = %key, "0x9101 of {key} was not taken: {error}");
        }
        let step = entry.run.asked(result.map(|_| ()), now);
        self.step(key, step, now);
    }

    /// The terminal has taken 0x9102, or had time enough: its place is free.
    fn stopped(&mut self, key: StreamKey, instance: u64, now: Instant) {
        if self.stopping.get(&key).is_none_or(|stopping| stopping.instance != instance) {
            return;
        }
        if let Some(stopping) = self.stopping.remove(&key) {
            self.places.remove(&stopping.place);
        }
        let waiting: Vec<_> = self
            .streams
            .iter()
            .filter(|(key, entry)| entry.run.waits() && !self.stopping.contains_key(key))
            .map(|(key, _)| *key)
            .collect();
        for key in waiting {
            self.start(key, now);
        }
    }

    fn claim(
        &mut self,
        expectation: &Expectation,
        revocation: Arc<Revocation>,
        now: Instant,
    ) -> Result<Claimed, ClaimRefused> {
        let key = *self.places.get(expectation).ok_or(ClaimRefused::NoRequest)?;
        let id = self.serial();
        // A stopping stream's place is nobody's, though the stream may have begun anew.
        let entry = self
            .streams
            .get_mut(&key)
            .filter(|entry| entry.place.as_ref() == Some(expectation))
            .ok_or(ClaimRefused::NoRequest)?;
        if !entry.run.claim(id, entry.stream.ring.signs(), now) {
            return Err(ClaimRefused::Running);
        }
        if let Some(old) = entry.source.replace(revocation) {
            old.revoke();
        }
        let base_90k = entry.stream.ring.resume_90k();
        entry.stream.ring.touch();
        Ok(Claimed { stream: Arc::clone(&entry.stream), source: id, base_90k, av: entry.stream.av() })
    }

    fn arrived(&mut self, key: StreamKey, source: u64, now: Instant) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        if entry.run.arrived(source, now) {
            entry.stream.set_phase(Phase::Live);
            info!(stream = %key, "stream {key} is live");
            self.events.publish(Event::Stream { stream: key, change: StreamChange::Live });
        }
    }

    fn step(&mut self, key: StreamKey, step: Step, now: Instant) {
        match step {
            Step::Nothing => {}
            Step::Ask => self.ask(key),
            Step::Recover => self.recover(key),
            Step::End(reason) => self.end(key, reason, now),
        }
    }

    fn recover(&mut self, key: StreamKey) {
        let Some(entry) = self.streams.get_mut(&key) else { return };
        // Gone already, or silent and to be closed.
        if let Some(source) = entry.source.take() {
            source.revoke();
        }
        entry.stream.set_phase(Phase::Recovering);
        info!(stream = %key, "stream {key} lost its source");
        self.events.publish(Event::Stream { stream: key, change: StreamChange::Recovering });
    }

    fn end(&mut self, key: StreamKey, reason: EndReason, now: Instant) {
        let Some(entry) = self.streams.remove(&key) else { return };
        if let Some(source) = entry.source {
            source.revoke();
        }
        info!(stream = %key, "stream {key} ended: {reason}");
        entry.stream.set_phase(Phase::Ended(reason));
        if entry.run.was_live() {
            self.events.publish(Event::Stream { stream: key, change: StreamChange::Ended });
        }
        let Some(place) = entry.place else { return };
        let instance = entry.instance;
        self.stopping.insert(key, Stopping { instance, place, until: now + STOP_WAIT });
        let (terminals, hub) = (Arc::clone(&self.terminals), self.handle.clone());
        self.tasks.spawn(async move {
            let command = Command::StopLive { channel: key.channel, profile: key.profile };
            if let Err(error) = terminals.send(key.terminal, command).await {
                debug!(stream = %key, "0x9102 of {key} was not taken: {error}");
            }
            hub.send(Message::Stopped { key, instance });
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
mod tests;
