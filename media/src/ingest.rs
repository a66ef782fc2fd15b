//! The live ports: terminals' connections, taken only for what was asked for.
//!
//! A connection may carry several channels (JT/T 1078-2016, 4.2): every packet is looked up by terminal and
//! channel. Knows no codecs and no viewers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cluster::{Newcomer, Newcomers};
use model::Sim;
use protocol::jt1078::{SharedPacket, Splitter};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::Settings;
use crate::hub::{ClaimRefused, Expectation, HubHandle, Revocation};
use crate::sound::SoundThreads;
use crate::source::Source;
use crate::stats::Counters;

/// What a connection may send before its first whole packet: some of the longest packets.
const FIRST_PACKET_BYTES_MAX: usize = 256 * 1024;

/// Channels that one connection may carry; recorders have at most 32.
const CHANNELS_MAX: usize = 32;

/// How much is read at once.
const READ_BYTES: usize = 32 * 1024;

/// A pair that was refused is not asked for again before this; its packets are skipped meanwhile.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// What every live connection shares.
pub(crate) struct Ingest {
    pub(crate) settings: Arc<Settings>,
    pub(crate) hub: HubHandle,
    pub(crate) sounds: Arc<SoundThreads>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) newcomers: Arc<Newcomers>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Ingest {
    /// Accepts connections on port `port` of the pool until told to stop.
    pub(crate) async fn accept(self: Arc<Self>, port: usize, listener: TcpListener) {
        loop {
            let (socket, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, mostly: waiting is the only thing that helps.
                        warn!("live port: cannot accept: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = self.stop.cancelled() => return,
            };
            let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
                self.counters.connections_over_bound.one();
                continue;
            };
            let of_address = self.settings.newcomers_per_address_max;
            let Some(newcomer) = self.newcomers.enter(peer.ip(), of_address) else {
                self.counters.connections_over_bound.one();
                continue;
            };
            self.counters.live_connections.one();
            let ingest = Arc::clone(&self);
            self.tasks.spawn(async move {
                let connection = Connection::new(&ingest, port, peer, newcomer);
                connection.run(socket).await;
                drop(permit);
            });
        }
    }
}

/// One terminal's connection.
struct Connection<'a> {
    ingest: &'a Ingest,
    port: usize,
    peer: SocketAddr,
    /// Until it is somebody's source.
    newcomer: Option<Newcomer>,
    wake: Arc<Notify>,
    running: Vec<Running>,
    refused: Vec<(Pair, Instant)>,
}

type Pair = (protocol::jt1078::Sim, u8);

struct Running {
    pair: Pair,
    revocation: Arc<Revocation>,
    source: Source,
}

/// Why a connection is closed from here.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("no packet in time")]
    NoPacket,
    #[error("nobody asked for terminal {0} channel {1}")]
    NoRequest(Sim, u8),
    #[error("terminal {0} channel {1} is sent by another connection")]
    Running(Sim, u8),
}

impl<'a> Connection<'a> {
    fn new(ingest: &'a Ingest, port: usize, peer: SocketAddr, newcomer: Newcomer) -> Self {
        Self {
            ingest,
            port,
            peer,
            newcomer: Some(newcomer),
            wake: Arc::new(Notify::new()),
            running: Vec::new(),
            refused: Vec::new(),
        }
    }

    async fn run(mut self, socket: TcpStream) {
        keep_alive(&socket);
        if let Err(closed) = self.receive(socket).await {
            debug!("live connection of {} closed: {closed}", self.peer);
        }
        for running in self.running {
            running.source.finish().await;
        }
    }

    async fn receive(&mut self, mut socket: TcpStream) -> Result<(), Closed> {
        let counters = &self.ingest.counters;
        let first_packet_until = Instant::now() + Duration::from_secs(self.ingest.settings.first_packet_s);
        let wake = Arc::clone(&self.wake);
        let mut splitter = Splitter::new(None);
        let mut buffer = BytesMut::new();
        let mut skipped = 0;
        loop {
            buffer.reserve(READ_BYTES);
            let read = tokio::select! {
                read = socket.read_buf(&mut buffer) => read,
                () = wake.notified() => {
                    self.drop_revoked().await;
                    if self.running.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                () = tokio::time::sleep_until(first_packet_until), if self.running.is_empty() => {
                    counters.connections_without_packet.one();
                    return Err(Closed::NoPacket);
                }
                () = self.ingest.stop.cancelled() => return Ok(()),
            };
            let ended = !matches!(read, Ok(1..));
            let arrival = std::time::Instant::now();
            while let Some(packet) = splitter.split(&mut buffer) {
                self.packet(packet, arrival).await?;
            }
            while ended && let Some(packet) = splitter.finish(&mut buffer) {
                self.packet(packet, arrival).await?;
            }
            counters.bytes_skipped.add(splitter.skipped_bytes() - skipped);
            skipped = splitter.skipped_bytes();
            let early =
                self.running.is_empty() && skipped + buffer.len() as u64 > FIRST_PACKET_BYTES_MAX as u64;
            if early || (ended && self.running.is_empty()) {
                counters.connections_without_packet.one();
                return Err(Closed::NoPacket);
            }
            if ended {
                return Ok(());
            }
        }
    }

    async fn packet(&mut self, packet: SharedPacket, arrival: std::time::Instant) -> Result<(), Closed> {
        let pair = (packet.header.sim, packet.header.channel);
        if let Some(running) = self.running.iter_mut().find(|running| running.pair == pair) {
            self.ingest.counters.packets.one();
            if !running.revocation.is_revoked() {
                running.source.packet(packet, arrival);
            }
            return Ok(());
        }
        let now = Instant::now();
        self.refused.retain(|(_, at)| now.saturating_duration_since(*at) < REFUSED_FOR);
        let skip = self.running.len() >= CHANNELS_MAX
            || self.refused.len() >= CHANNELS_MAX
            || self.refused.iter().any(|(refused, _)| *refused == pair);
        if skip {
            self.ingest.counters.packets_for_nobody.one();
            return Ok(());
        }
        self.claim(pair, packet, arrival).await
    }

    /// A pair that this connection did not bring before.
    async fn claim(
        &mut self,
        pair: Pair,
        packet: SharedPacket,
        arrival: std::time::Instant,
    ) -> Result<(), Closed> {
        let ingest = self.ingest;
        let sim = Sim::from_bcd(pair.0.as_bytes());
        let revocation = Arc::new(Revocation::new(Arc::clone(&self.wake)));
        let expectation = Expectation { port: self.port, sim: sim.clone(), channel: pair.1 };
        match ingest.hub.claim(expectation, Arc::clone(&revocation)).await {
            Ok(claimed) => {
                let (hub, sounds) = (ingest.hub.clone(), Arc::clone(&ingest.sounds));
                let mut source =
                    Source::new(claimed, ingest.settings.epoch, hub, sounds, Arc::clone(&ingest.counters));
                ingest.counters.packets.one();
                source.packet(packet, arrival);
                self.newcomer = None;
                self.running.push(Running { pair, revocation, source });
                Ok(())
            }
            Err(refused) if self.running.is_empty() => Err(match refused {
                ClaimRefused::NoRequest => {
                    ingest.counters.connections_without_request.one();
                    Closed::NoRequest(sim, pair.1)
                }
                ClaimRefused::Running => {
                    ingest.counters.sources_refused.one();
                    Closed::Running(sim, pair.1)
                }
            }),
            Err(_) => {
                ingest.counters.packets_for_nobody.one();
                self.refused.push((pair, Instant::now()));
                Ok(())
            }
        }
    }

    async fn drop_revoked(&mut self) {
        let mut at = 0;
        while let Some(running) = self.running.get(at) {
            if running.revocation.is_revoked() {
                self.running.swap_remove(at).source.finish().await;
            } else {
                at += 1;
            }
        }
    }
}

/// So that a terminal that vanished without a word is noticed even while nothing is expected of it.
fn keep_alive(socket: &TcpStream) {
    let keep_alive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    if let Err(error) = socket2::SockRef::from(socket).set_tcp_keepalive(&keep_alive) {
        debug!("no TCP keep-alive: {error}");
    }
}
