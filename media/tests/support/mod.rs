//! A media server in this process, a terminal that sends recorded packets, and viewers' rights as told.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use cluster::{Bus, Listener, Terminals};
use media::{Deps, MediaServer, Refusal, Settings, Viewers};
use model::{
    AccountId, Channel, Command, Profile, Reply, SendError, Sim, StreamKey, TerminalId, TerminalLink,
};
use parking_lot::Mutex;
use protocol::jt1078::{SharedPacket, Splitter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Packets with the time at which each is sent, ms from the first.
pub type Recording = Vec<(u64, Vec<u8>)>;

/// What a terminal does when it is asked to send.
pub enum Act {
    /// Answers and sends these packets, then closes the connection.
    Send(Arc<Recording>),
    /// Sends these packets over and over, as fast as its times say, until the connection closes.
    Loop(Arc<Recording>),
    /// Answers, and sends nothing.
    Nothing,
    /// Refuses with a result.
    Refuse(u8),
}

pub struct FakeTerminal {
    pub sim: Sim,
    /// Nothing is sent until it is open.
    pub gate: tokio::sync::watch::Sender<bool>,
    pub acts: Mutex<VecDeque<Act>>,
    pub commands: Mutex<Vec<Command>>,
}

#[async_trait]
impl Terminals for FakeTerminal {
    async fn link(&self, _terminal: TerminalId) -> Result<TerminalLink, SendError> {
        Ok(TerminalLink { sim: self.sim.clone(), sim_bytes: 6, av: None })
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        self.commands.lock().push(command.clone());
        let Command::StartLive { tcp_port, .. } = command else { return Ok(Reply::Accepted) };
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
        match self.acts.lock().pop_front().unwrap_or(Act::Nothing) {
            Act::Send(recording) => {
                tokio::spawn(async move {
                    if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", tcp_port)).await {
                        let _ = send(&mut socket, &recording).await;
                    }
                });
            }
            Act::Loop(recording) => {
                tokio::spawn(async move {
                    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", tcp_port)).await else { return };
                    while send(&mut socket, &recording).await.is_ok() {}
                });
            }
            Act::Nothing => {}
            Act::Refuse(result) => return Err(SendError::Refused { terminal, result }),
        }
        Ok(Reply::Accepted)
    }

    async fn disconnect(&self, _terminal: TerminalId) {}
}

pub async fn send(socket: &mut TcpStream, recording: &Recording) -> std::io::Result<()> {
    let begun = Instant::now();
    for (at_ms, packet) in recording {
        tokio::time::sleep_until(begun + Duration::from_millis(*at_ms)).await;
        socket.write_all(packet).await?;
    }
    Ok(())
}

pub struct FakeViewers {
    pub revoked: AtomicBool,
}

#[async_trait]
impl Viewers for FakeViewers {
    async fn open(&self, ticket: &str, _stream: &StreamKey) -> Result<AccountId, Refusal> {
        match ticket {
            "good" => Ok(AccountId(1)),
            "expired" => Err(Refusal::Expired),
            "other" => Err(Refusal::OtherStream),
            "foreign" => Err(Refusal::NotFound),
            _ => Err(Refusal::Invalid),
        }
    }

    async fn open_session(
        &self,
        session: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<(AccountId, StreamKey), Refusal> {
        match (session, device) {
            ("good", "D") => Ok((AccountId(1), StreamKey::live(TerminalId(42), channel, profile))),
            ("good", _) => Err(Refusal::NotFound),
            _ => Err(Refusal::Invalid),
        }
    }

    async fn recheck(&self, _account: AccountId, _terminal: TerminalId) -> Result<(), Refusal> {
        if self.revoked.load(Ordering::Relaxed) { Err(Refusal::Forbidden) } else { Ok(()) }
    }
}

pub struct Platform {
    pub server: Arc<MediaServer>,
    pub terminal: Arc<FakeTerminal>,
    pub viewers: Arc<FakeViewers>,
}

impl Platform {
    pub async fn start(sim: &str, acts: Vec<Act>, change: impl FnOnce(&mut Settings)) -> Self {
        let any = Listener { listen: SocketAddr::from(([127, 0, 0, 1], 0)), advertise: None };
        let mut settings = Settings {
            viewer: any.clone(),
            live: any,
            recover_s: 2,
            recover_pause_ms: 200,
            recheck_s: 1,
            linger_s: 1,
            ..Settings::default()
        };
        change(&mut settings);
        let terminal = Arc::new(FakeTerminal {
            sim: sim.parse().expect("a SIM"),
            gate: tokio::sync::watch::Sender::new(true),
            acts: Mutex::new(acts.into()),
            commands: Mutex::default(),
        });
        let viewers = Arc::new(FakeViewers { revoked: AtomicBool::new(false) });
        let deps = Deps {
            terminals: Arc::clone(&terminal) as Arc<dyn Terminals>,
            events: Arc::new(Bus::default()),
            viewers: Arc::clone(&viewers) as Arc<dyn Viewers>,
            tls: None,
        };
        let server = Arc::new(MediaServer::start(settings, deps).await.expect("starts"));
        Self { server, terminal, viewers }
    }

    pub fn url(&self, rest: &str) -> String {
        format!("http://{}/{rest}", self.server.viewer_addr())
    }

    /// Status and body of a short answer.
    pub async fn request(&self, method: &str, path: &str) -> (u16, String) {
        let mut socket = TcpStream::connect(self.server.viewer_addr()).await.expect("connects");
        let head = format!("{method} {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        socket.write_all(head.as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("reads");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn shared() -> Option<PathBuf> {
    let shared = std::env::var_os("MOTORCADE_TEST_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    if shared.is_dir() {
        Some(shared)
    } else {
        println!("skipped: {} is absent", shared.display());
        None
    }
}

/// The packets of a capture at their own time stamps (held where they fall back).
pub fn recording(bytes: &[u8]) -> Recording {
    let mut splitter = Splitter::new(None);
    let mut buffer = BytesMut::from(bytes);
    let mut packets: Vec<SharedPacket> = Vec::new();
    while let Some(packet) = splitter.split(&mut buffer) {
        packets.push(packet);
    }
    while let Some(packet) = splitter.finish(&mut buffer) {
        packets.push(packet);
    }
    let first = packets.first().and_then(|packet| packet.header.timestamp_ms).unwrap_or(0);
    let mut at_ms = 0;
    packets
        .iter()
        .map(|packet| {
            at_ms = at_ms.max(packet.header.timestamp_ms.unwrap_or(first).saturating_sub(first));
            let mut wire = Vec::new();
            packet.as_packet().encode(&mut wire);
            (at_ms, wire)
        })
        .collect()
}

/// What ffprobe says of the first video stream: codec, width, height, decoded frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Probed {
    pub codec: String,
    pub width: u64,
    pub height: u64,
    pub frames: u64,
}

pub async fn probe(url: &str) -> Result<Probed, String> {
    let output = tokio::process::Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0", "-of", "json", "-show_entries"])
        .args(["stream=codec_name,width,height,nb_read_frames", url])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("{error}: {errors}"))?;
    let stream = &value["streams"][0];
    Ok(Probed {
        codec: stream["codec_name"].as_str().ok_or(format!("no codec: {text} {errors}"))?.to_owned(),
        width: stream["width"].as_u64().unwrap_or(0),
        height: stream["height"].as_u64().unwrap_or(0),
        frames: stream["nb_read_frames"].as_str().and_then(|count| count.parse().ok()).unwrap_or(0),
    })
}

/// The sound of `url` as 8 kHz mono samples, and its codec's name.
pub async fn sound(url: &str) -> Vec<i16> {
    let output = tokio::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i", url, "-map", "0:a:0", "-ar", "8000", "-ac", "1", "-f", "s16le", "-"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("ffmpeg runs");
    output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The best correlation of `made` with `meant` over the lags that a codec's delay can make.
pub fn correlation(meant: &[i16], made: &[i16]) -> f64 {
    (0..4_096.min(made.len())).map(|lag| correlation_at(meant, &made[lag..])).fold(-1.0, f64::max)
}

fn correlation_at(one: &[i16], two: &[i16]) -> f64 {
    let count = one.len().min(two.len());
    if count < one.len() / 2 {
        return -1.0;
    }
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in one.iter().zip(two) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx == 0.0 || yy == 0.0 { 0.0 } else { xy / (xx * yy).sqrt() }
}
