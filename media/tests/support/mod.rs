//! A media server in this process, a terminal that sends recorded packets, and viewers' rights as told.

#![allow(dead_code, unreachable_pub)] // each test file uses its part

pub mod viewer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use cluster::{Bus, Listener, Terminals};
use media::{Deps, MediaServer, Refusal, Settings, Viewers};
use model::{
    AccountId, AvAttributes, Channel, Command, Profile, Reply, SendError, Sim, StreamKey, TerminalId,
    TerminalLink,
};
use parking_lot::Mutex;
use protocol::jt1078::packetize::Packetizer;
use protocol::jt1078::{self, DataType, PayloadType, SharedPacket, Splitter};
use protocol::nal::nal_units;
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
    /// Is not connected.
    Away,
    /// Hangs up before it answers.
    HangUp,
}

pub struct FakeTerminal {
    pub sim: Sim,
    /// What it says of its sound and pictures.
    pub av: Mutex<Option<AvAttributes>>,
    /// Nothing is sent until it is open.
    pub gate: tokio::sync::watch::Sender<bool>,
    pub acts: Mutex<VecDeque<Act>>,
    pub commands: Mutex<Vec<Command>>,
}

#[async_trait]
impl Terminals for FakeTerminal {
    async fn link(&self, _terminal: TerminalId) -> Result<TerminalLink, SendError> {
        Ok(TerminalLink { sim: self.sim.clone(), sim_bytes: 6, av: self.av.lock().clone() })
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
            Act::Away => return Err(SendError::NotConnected(terminal)),
            Act::HangUp => return Err(SendError::Disconnected(terminal)),
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

    async fn open_by_login(
        &self,
        login: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<(AccountId, StreamKey), Refusal> {
        match (login, device) {
            ("good", "D") => Ok((AccountId(1), StreamKey::live(TerminalId(42), channel, profile))),
            ("good", _) => Err(Refusal::NotFound),
            ("powerless", _) => Err(Refusal::Forbidden),
            ("unread", _) => Err(Refusal::Unavailable),
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
            av: Mutex::new(None),
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

/// Packets that stand one behind the other, at their own time stamps (held where they fall back).
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

/// A terminal's channel 2, whose pictures FFmpeg makes and whose sound is a tone.
pub struct Camera {
    packetizer: Packetizer,
    /// Where the next clip begins, on the device's clock and in the recording.
    pub now_ms: u64,
    /// Every so many pictures, from a clip's first on, is a key frame.
    pub key_every: u64,
}

/// Pictures a second of a [`Camera`].
const RATE: u64 = 10;

impl Camera {
    /// Of the terminal 13800138999.
    pub fn new() -> Self {
        let sim = jt1078::Sim::six([0x01, 0x38, 0x00, 0x13, 0x89, 0x99]);
        Self { packetizer: Packetizer::new(sim, 2), now_ms: 0, key_every: RATE }
    }

    /// `seconds` of ten pictures by FFmpeg's `encoder`; and, where asked for, a packet of G.711A with each.
    pub fn film(&mut self, encoder: &str, size: &str, seconds: u64, sound: bool) -> Recording {
        let payload_type = if encoder == "libx265" { PayloadType::H265 } else { PayloadType::H264 };
        let mut recording = Recording::new();
        for (number, picture) in (0..).zip(pictures(encoder, size, seconds, self.key_every)) {
            let kind = if number % self.key_every == 0 { DataType::I } else { DataType::P };
            let mut wire = Vec::new();
            self.packetizer.frame(kind, payload_type, self.now_ms, &picture, &mut wire);
            if sound {
                self.packetizer.frame(
                    DataType::Audio,
                    PayloadType::G711A,
                    self.now_ms,
                    &[0x55; 800],
                    &mut wire,
                );
            }
            recording.push((self.now_ms, wire));
            self.now_ms += 1_000 / RATE;
        }
        recording
    }

    /// A frame that no camera made, now.
    pub fn made_up(&mut self, kind: DataType, payload_type: PayloadType, data: &[u8]) -> (u64, Vec<u8>) {
        let mut wire = Vec::new();
        self.packetizer.frame(kind, payload_type, self.now_ms, data, &mut wire);
        (self.now_ms, wire)
    }
}

/// The access units of a test picture.
fn pictures(encoder: &str, size: &str, seconds: u64, key_every: u64) -> Vec<Vec<u8>> {
    let source = format!("testsrc2=size={size}:rate={RATE}:duration={seconds}");
    let mut command = std::process::Command::new("ffmpeg");
    command.args([
        "-v", "error", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-c:v", encoder, "-bf", "0",
    ]);
    command.args(["-preset", "ultrafast", "-g", &key_every.to_string()]);
    let (parameters, form, delimiter) = match encoder {
        "libx265" => {
            (["-x265-params", "aud=1:scenecut=0:open-gop=0:repeat-headers=1:log-level=none"], "hevc", 35)
        }
        _ => (["-x264-params", "aud=1:scenecut=0:sliced-threads=0"], "h264", 9),
    };
    let output = command.args(parameters).args(["-f", form, "-"]).output().expect("FFmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for unit in nal_units(&output.stdout) {
        let kind = if encoder == "libx265" { unit[0] >> 1 & 0x3f } else { unit[0] & 0x1f };
        if kind == delimiter {
            pictures.push(Vec::new());
        }
        let picture = pictures.last_mut().expect("a delimiter comes first");
        picture.extend_from_slice(&[0, 0, 0, 1]);
        picture.extend_from_slice(unit);
    }
    assert_eq!(pictures.len() as u64, seconds * RATE);
    pictures
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
