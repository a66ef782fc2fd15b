//! Gateway and media server in this process, on real parts: a database, a terminal that registers and replays
//! a recorded stream, viewers on the viewer port.
#![allow(dead_code, unreachable_pub, reason = "every test file uses the part it needs")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access::terminal::{Admission, AuthCodes, AuthKey};
use async_trait::async_trait;
use cluster::{Bus, Events as _, Listener, Terminals};
use db::testing::TestDb;
use futures_util::StreamExt as _;
use gateway::Gateway;
use media::{MediaServer, Refusal, Viewers};
use model::{
    AccountId, Channel, Command, Event, Filter, Presence, Profile, Reply, SendError, StreamKey, TerminalId,
    TerminalLink,
};
use sim::{Attributes, Fleet, Replay};
use tokio::sync::watch;

/// One of the recorded streams, and what is known of it.
pub struct Recording {
    pub path: PathBuf,
    pub sim_bytes: usize,
    pub attributes: Attributes,
    pub expected: Probed,
    /// Its sound, decoded here, 8 kHz mono; empty where it has none.
    pub sound: Vec<i16>,
}

/// What ffprobe says of a picture track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub codec: String,
    pub width: u64,
    pub height: u64,
    pub frames: u64,
}

/// Every recorded stream; none, with a word, where they are absent.
pub fn recordings() -> Vec<(String, Recording)> {
    let shared = std::env::var_os("MOTORCADE_TEST_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let folder = shared.join("captures");
    let Ok(index) = std::fs::read_to_string(folder.join("captures.json")) else {
        println!("skipped: {} is absent", folder.display());
        return Vec::new();
    };
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let files = index.as_object().expect("an object by file");
    files.iter().map(|(file, facts)| (file.clone(), recording(&folder.join(file), facts))).collect()
}

fn recording(path: &Path, facts: &serde_json::Value) -> Recording {
    let number = |value: &serde_json::Value| {
        value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number")
    };
    let sim_bytes = usize::try_from(number(&facts["sim_len"])).expect("6 or 10");
    let bytes = std::fs::read(path).expect("the recording");
    let (payload_type, sound) = sound_of(&bytes, sim_bytes);
    let length = facts["audio_body_len"].as_object().and_then(|lengths| lengths.keys().next()?.parse().ok());
    let probed = &facts["ffprobe"];
    Recording {
        path: path.to_owned(),
        sim_bytes,
        attributes: Attributes {
            audio_codec: payload_type,
            audio_frame_len: length.unwrap_or(0),
            video_codec: 98,
            channels: 4,
        },
        expected: Probed {
            codec: probed["codec_name"].as_str().expect("a codec").to_owned(),
            width: number(&probed["width"]),
            height: number(&probed["height"]),
            frames: number(&probed["nb_read_frames"]),
        },
        sound,
    }
}

/// Payload type and samples of a recording's sound: decoders of the test's own, so that they prove something.
fn sound_of(bytes: &[u8], sim_bytes: usize) -> (u8, Vec<i16>) {
    let (mut payload_type, mut samples, mut at) = (0, Vec::new(), 0);
    while at < bytes.len() {
        let kind = bytes[at + 9 + sim_bytes] >> 4;
        let head = 10 + sim_bytes + if kind < 3 { 12 } else { 8 };
        let length = usize::from(u16::from_be_bytes([bytes[at + head], bytes[at + head + 1]]));
        let body = &bytes[at + head + 2..at + head + 2 + length];
        if kind == 3 {
            payload_type = bytes[at + 5] & 0x7f;
            match payload_type {
                6 => samples.extend(body.iter().map(|byte| alaw(*byte))),
                26 => ima(&body[4..], &mut samples),
                other => panic!("payload type {other}"),
            }
        }
        at += head + 2 + length;
    }
    (payload_type, samples)
}

/// ITU-T G.711.
fn alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let mantissa = i16::from(byte & 0x0f) << 4;
    let magnitude = match (byte >> 4) & 7 {
        0 => mantissa + 8,
        exponent => (mantissa + 0x108) << (exponent - 1),
    };
    if byte & 0x80 == 0 { -magnitude } else { magnitude }
}

/// IMA ADPCM behind its four bytes of state, high nibble first.
fn ima(body: &[u8], samples: &mut Vec<i16>) {
    const STEPS: [i32; 89] = [
        7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80,
        88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544,
        598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024,
        3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899,
        15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
    ];
    const TURNS: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
    let mut value = i32::from(i16::from_le_bytes([body[0], body[1]]));
    let mut index = i32::from(body[2]);
    for nibble in body[4..].iter().flat_map(|byte| [byte >> 4, byte & 15]).map(i32::from) {
        let step = STEPS[usize::try_from(index).expect("0 to 88")];
        let change = step / 8
            + if nibble & 4 != 0 { step } else { 0 }
            + if nibble & 2 != 0 { step / 2 } else { 0 }
            + if nibble & 1 != 0 { step / 4 } else { 0 };
        value = (if nibble & 8 != 0 { value - change } else { value + change }).clamp(-32_768, 32_767);
        index = (index + TURNS[usize::try_from(nibble & 7).expect("0 to 7")]).clamp(0, 88);
        samples.push(i16::try_from(value).expect("clamped"));
    }
}

/// The way to terminals, with a hand on 0x9101: it goes out when the test lets it, and as often.
pub struct Gate {
    terminals: Arc<dyn Terminals>,
    open: watch::Sender<bool>,
    requests_max: usize,
    requests: AtomicUsize,
}

impl Gate {
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// How often 0x9101 was wanted.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Terminals for Gate {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        self.terminals.link(terminal).await
    }

    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        if matches!(command, Command::StartLive { .. }) {
            if self.requests.fetch_add(1, Ordering::Relaxed) >= self.requests_max {
                return Err(SendError::Timeout(terminal));
            }
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
        self.terminals.send(terminal, command).await
    }

    async fn disconnect(&self, terminal: TerminalId) {
        self.terminals.disconnect(terminal).await;
    }
}

/// Lets everybody watch; the device number is the terminal's id.
struct Everybody;

#[async_trait]
impl Viewers for Everybody {
    async fn open(&self, _ticket: &str, _stream: &StreamKey) -> Result<AccountId, Refusal> {
        Ok(AccountId(1))
    }

    async fn open_by_login(
        &self,
        _login: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<(AccountId, StreamKey), Refusal> {
        let terminal = device.parse().map_err(|_| Refusal::NotFound)?;
        Ok((AccountId(1), StreamKey::live(terminal, channel, profile)))
    }

    async fn recheck(&self, _account: AccountId, _terminal: TerminalId) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Everything, with the terminal of one recording online.
pub struct Stage {
    pub media: MediaServer,
    pub gate: Arc<Gate>,
    pub stream: StreamKey,
    gateway: Gateway,
    fleet: Fleet,
    _database: TestDb,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// `requests_max`: how many 0x9101 the terminal gets to see; it replays the recording on each.
    pub async fn new(recording: &Recording, requests_max: usize) -> Self {
        let database = TestDb::new().await;
        let folder = tempfile::tempdir().expect("a folder");
        let bus = Arc::new(Bus::default());
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = gateway::Settings {
            listen: loopback,
            admission: Admission::Open,
            spool_dir: folder.path().join("spool"),
            ..gateway::Settings::default()
        };
        let deps = gateway::Deps {
            db: database.db().clone(),
            events: Arc::clone(&bus) as _,
            codes: AuthCodes::new(AuthKey { id: 1, secret: [7; 32] }, Vec::new()),
            trace: cluster::trace::Trace::off(),
        };
        let gateway = Gateway::start(settings, deps).await.expect("the gateway starts");
        let gate = Arc::new(Gate {
            terminals: gateway.terminals(),
            open: watch::Sender::new(false),
            requests_max,
            requests: AtomicUsize::new(0),
        });
        let listener = Listener { listen: loopback, advertise: None };
        let settings = media::Settings {
            viewer: listener.clone(),
            live: listener,
            recover_s: 3,
            recover_pause_ms: 500,
            ..media::Settings::default()
        };
        let deps = media::Deps {
            terminals: Arc::clone(&gate) as _,
            events: Arc::clone(&bus) as _,
            viewers: Arc::new(Everybody),
            tls: None,
        };
        let media = MediaServer::start(settings, deps).await.expect("the media server starts");
        let mut events = bus.subscribe(Filter::default());
        let replay = Replay::read(
            gateway.addr().to_string(),
            &recording.path,
            recording.sim_bytes,
            recording.attributes,
        )
        .expect("the recording reads");
        let fleet = replay.start();
        let terminal = loop {
            let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
            match event.expect("the terminal comes").expect("the bus lives") {
                Ok(Event::Presence { terminal, presence: Presence::Online }) => break terminal,
                _ => continue,
            }
        };
        let channel = Channel::new(replay.channel()).expect("not 0");
        let stream = StreamKey::live(terminal, channel, Profile::Main);
        Self { media, gate, stream, gateway, fleet, _database: database, _folder: folder }
    }

    pub fn url(&self, rest: &str) -> String {
        format!("http://{}/{rest}", self.media.viewer_addr())
    }

    /// HTTP-FLV, HLS as fMP4, HLS as MPEG-TS.
    pub fn forms(&self) -> [String; 3] {
        let (stream, channel) = (self.stream, self.stream.channel.number() - 1);
        [
            self.url(&format!("live/{stream}.flv?ticket=T")),
            self.url(&format!("live/{stream}/index.m3u8?ticket=T")),
            self.url(&format!("hls/1_{}_{channel}_0.m3u8?jsession=S", stream.terminal)),
        ]
    }

    /// Lets the terminal be asked once this many viewers are there.
    pub async fn open_for(&self, viewers: u64) {
        let until = Instant::now() + Duration::from_secs(30);
        while self.media.stats().views < viewers {
            assert!(Instant::now() < until, "the viewers never came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.gate.open();
    }

    pub async fn stop(self) {
        self.media.shutdown().await;
        self.fleet.stop().await.expect("the terminal stops");
        self.gateway.shutdown().await;
    }
}

async fn run(program: &str, arguments: &[&str]) -> std::process::Output {
    tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("FFmpeg is installed")
}

/// What ffprobe makes of `url`, every picture decoded.
pub async fn probe(url: &str) -> Probed {
    let output = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-count_frames",
            "-select_streams",
            "v:0",
            "-of",
            "json",
            "-show_entries",
            "stream=codec_name,width,height,nb_read_frames",
            url,
        ],
    )
    .await;
    let errors = String::from_utf8_lossy(&output.stderr);
    let probed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stream = &probed["streams"][0];
    let codec = stream["codec_name"].as_str().unwrap_or_else(|| panic!("{url}: no pictures: {errors}"));
    Probed {
        codec: codec.to_owned(),
        width: stream["width"].as_u64().unwrap_or(0),
        height: stream["height"].as_u64().unwrap_or(0),
        frames: stream["nb_read_frames"].as_str().and_then(|count| count.parse().ok()).unwrap_or(0),
    }
}

/// The AAC of `url`, decoded to 8 kHz mono.
pub async fn sound(url: &str) -> Vec<i16> {
    let arguments = [
        "-v", "error", "-c:a", "aac", "-i", url, "-map", "0:a:0", "-ar", "8000", "-ac", "1", "-f", "s16le",
        "-",
    ];
    let output = run("ffmpeg", &arguments).await;
    output.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The best correlation of two sounds over the delays that an AAC codec can make.
pub fn correlation(meant: &[i16], made: &[i16]) -> f64 {
    (0..4_096.min(made.len() / 2)).map(|lag| correlation_now(meant, &made[lag..])).fold(-1.0, f64::max)
}

fn correlation_now(one: &[i16], two: &[i16]) -> f64 {
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in one.iter().zip(two) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    if xx == 0.0 || yy == 0.0 { 0.0 } else { xy / (xx * yy).sqrt() }
}
