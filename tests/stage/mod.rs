//! A platform in either form, with terminals that replay recorded streams, and those who watch them.
#![allow(dead_code, unreachable_pub, reason = "every test file uses the part it needs")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sim::{Attributes, Curtain, Fleet, Replay};

use crate::support::installation::{Form, Installation};
use crate::support::{Options, PASSWORD, http, wait_until};

/// How long terminals may take to come online, and viewers to come.
const WITHIN: Duration = Duration::from_secs(60);

/// One of the recorded streams, and what is known of it.
pub struct Recording {
    pub path: PathBuf,
    pub sim_bytes: usize,
    pub attributes: Attributes,
    /// How long its pictures take.
    pub span: Duration,
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
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let files = index.as_object().expect("an object by file");
    files.iter().map(|(file, facts)| (file.clone(), recording(&folder.join(file), facts))).collect()
}

fn recording(path: &Path, facts: &Value) -> Recording {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number");
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
        span: Duration::from_millis(number(&facts["video_span_ms"])),
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

/// A platform, and a terminal online for each of some recordings.
pub struct Stage {
    pub plays: Vec<Play>,
    installation: Installation,
    client: Client,
    token: String,
    session: String,
}

/// A terminal that shows a recording when it is told to send, behind a curtain.
pub struct Play {
    pub curtain: Arc<Curtain>,
    vehicle: Value,
    device: String,
    channel: u8,
    fleet: Fleet,
}

impl Stage {
    /// `shows`: each recording, and how often it is shown. None where the form cannot be had here, which is said.
    pub async fn new(form: Form, shows: &[(&Recording, usize)]) -> Option<Self> {
        let options = Options::default()
            .env("MOTORCADE__GATEWAY__ADMISSION", "open")
            // all viewers come before the first picture
            .env("MOTORCADE__MEDIA__START_S", "60")
            .env("MOTORCADE__MEDIA__RECOVER_S", "3")
            .env("MOTORCADE__MEDIA__RECOVER_PAUSE_MS", "500");
        let installation = Installation::start(form, options).await?;
        let mut stage = Self {
            plays: Vec::new(),
            installation,
            client: http(),
            token: String::new(),
            session: String::new(),
        };
        let login = json!({"account": "admin", "password": PASSWORD});
        let (_, tokens) = stage.v1(Method::POST, "/auth/login", Some(login)).await;
        stage.token = tokens["access_token"].as_str().expect("a token").to_owned();
        let query = [("account", "admin"), ("password", PASSWORD)];
        let url = stage.installation.url("/StandardApiAction_login.action");
        let reply = stage.client.get(url).query(&query).send().await.expect("a reply");
        let reply: Value = reply.json().await.expect("JSON");
        stage.session = reply["jsession"].as_str().expect("a session").to_owned();
        let plays = shows.iter().map(|(recording, shows_max)| stage.play(recording, *shows_max));
        stage.plays = join_all(plays).await;
        Some(stage)
    }

    /// Its terminal dials the login server.
    async fn play(&self, recording: &Recording, shows_max: usize) -> Play {
        let curtain = Arc::new(Curtain::new(shows_max));
        let server = self.installation.ready.login.to_string();
        let replay = Replay::read(server, &recording.path, recording.sim_bytes, recording.attributes);
        let replay = replay.expect("the recording reads").behind(Arc::clone(&curtain));
        let fleet = replay.start();
        let device = hex::encode(replay.sim()).trim_start_matches('0').to_owned();
        let vehicle = wait_until("the terminal to be online", WITHIN, async || {
            let (_, page) = self.v1(Method::GET, "/vehicles?online=true", None).await;
            let mut vehicles = page["items"].as_array()?.iter();
            vehicles.find(|vehicle| vehicle["terminals"][0]["device_no"] == device)?.get("id").cloned()
        });
        Play { vehicle: vehicle.await, curtain, device, channel: replay.channel(), fleet }
    }

    async fn v1(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = self.installation.url(&format!("/api/v1{path}"));
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.expect("a reply");
        (reply.status(), reply.json().await.unwrap_or_default())
    }

    /// HTTP-FLV, HLS as fMP4, HLS as MPEG-TS, as the platform names them.
    pub async fn forms(&self, play: &Play) -> [String; 3] {
        let Play { vehicle, device, channel, .. } = play;
        let path = format!("/vehicles/{vehicle}/channels/{channel}/live");
        let (status, live) = self.v1(Method::POST, &path, Some(json!({"profile": "main"}))).await;
        assert_eq!(status, StatusCode::OK, "{live}");
        let url = |form: &str| live["urls"][form].as_str().unwrap_or_else(|| panic!("{live}")).to_owned();
        let (media, session) = (self.installation.ready.media, &self.session);
        let cmsv6 = format!("http://{media}/hls/1_{device}_{}_0.m3u8?jsession={session}", channel - 1);
        [url("http_flv"), url("hls"), cmsv6]
    }

    /// The newest picture of a stream; None while it does not run.
    pub async fn snapshot(&self, play: &Play) -> Option<Vec<u8>> {
        let path = format!("/api/v1/vehicles/{}/channels/{}/snapshot", play.vehicle, play.channel);
        let url = self.installation.url(&path);
        let reply = self.client.get(url).bearer_auth(&self.token).send().await.expect("a reply");
        match reply.status() {
            StatusCode::OK => Some(reply.bytes().await.expect("a picture").to_vec()),
            StatusCode::CONFLICT => None,
            status => panic!("{status}"),
        }
    }

    /// Lifts the curtains of `plays` once `viewers` have come to the platform since it was started.
    pub async fn open_for(&self, viewers: u64, plays: impl IntoIterator<Item = &Play>) {
        wait_until("the viewers to come", WITHIN, async || {
            let views = self.installation.metric("media", "motorcade_media_views_total").await;
            views.is_some_and(|views| views >= viewers).then_some(())
        })
        .await;
        plays.into_iter().for_each(|play| play.curtain.rise());
    }

    /// Takes the terminals away, and the platform.
    pub async fn stop(self) {
        for play in self.plays {
            play.fleet.stop().await.expect("the terminal stops");
        }
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
    let probed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
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
