//! Live video by the CMSV6 face's URLs, over the whole platform: what the simulated cameras show arrives as FLV by
//! HTTP and by WebSocket and as HLS, only for those who may watch, and only as long as they may.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::installation::{Form, Installation};
use support::{Options, PASSWORD, http};
use tokio_tungstenite::tungstenite::Message;

/// How long a condition may take to come true: the first cameras wait for their clips to be made.
const WITHIN: Duration = Duration::from_secs(90);

/// The sub stream of the first channel.
const CHANNEL: &str = "Channel=0&Stream=1";

crate::in_both_forms!(the_urls_show_what_the_cameras_see_and_to_nobody_else, a_revoked_right_ends_every_view,);

struct Stage {
    platform: Installation,
    client: reqwest::Client,
    admin: String,
    /// The role of the account `watcher`, who may see and watch everything.
    role: Value,
    session: String,
    device: String,
}

impl Stage {
    async fn new(form: Form) -> Option<Self> {
        let platform = Installation::start(form, Options::default().arg("--demo")).await?;
        let mut stage = Self {
            platform,
            client: http(),
            admin: String::new(),
            role: Value::Null,
            session: String::new(),
            device: String::new(),
        };
        let login = json!({"account": "admin", "password": PASSWORD});
        let tokens = stage.v1(Method::POST, "/auth/login", login).await;
        stage.admin = tokens["access_token"].as_str().expect("a token").to_owned();
        stage.role = stage.account(1, "watcher", json!(["view", "live"])).await;
        stage.session = stage.log_in("watcher").await;
        stage.device = stage.online_device().await;
        Some(stage)
    }

    async fn v1(&self, method: Method, path: &str, body: Value) -> Value {
        let url = self.platform.url(&format!("/api/v1{path}"));
        let request = self.client.request(method, url).bearer_auth(&self.admin).json(&body);
        let reply = request.send().await.expect("a reply");
        assert!(reply.status().is_success(), "{path}: {}", reply.text().await.unwrap_or_default());
        reply.json().await.expect("JSON")
    }

    /// An account with a role of its own; gives the role's id.
    async fn account(&self, company: i64, name: &str, permissions: Value) -> Value {
        let role = json!({"company_id": company, "name": name, "permissions": permissions});
        let role = self.v1(Method::POST, "/roles", role).await["id"].clone();
        let account = json!({"company_id": company, "role_id": role, "name": name, "password": PASSWORD});
        self.v1(Method::POST, "/accounts", account).await;
        role
    }

    async fn action(&self, action: &str, query: &[(&str, &str)]) -> Value {
        let url = self.platform.url(&format!("/StandardApiAction_{action}.action"));
        self.client.get(url).query(query).send().await.expect("a reply").json().await.expect("JSON")
    }

    async fn log_in(&self, account: &str) -> String {
        let reply = self.action("login", &[("account", account), ("password", PASSWORD)]).await;
        assert_eq!(reply["result"], 0, "{reply}");
        reply["jsession"].as_str().expect("a session").to_owned()
    }

    async fn online_device(&self) -> String {
        let until = Instant::now() + WITHIN;
        loop {
            let reply =
                self.action("getDeviceOlStatus", &[("jsession", &self.session), ("status", "1")]).await;
            if let Some(device) = reply["onlines"][0]["did"].as_str() {
                return device.to_owned();
            }
            assert!(Instant::now() < until, "no demo vehicle came online: {reply}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn flv(&self, session: &str) -> String {
        let (media, device) = (self.platform.ready.media, &self.device);
        format!("http://{media}/3/3?AVType=1&jsession={session}&DevIDNO={device}&{CHANNEL}")
    }

    fn hls(&self, session: &str) -> String {
        let (media, device) = (self.platform.ready.media, &self.device);
        format!("http://{media}/hls/1_{device}_0_1.m3u8?jsession={session}")
    }

    /// The answer of a URL that shows something, once the camera's clip is made.
    async fn shown(&self, url: &str) -> reqwest::Response {
        let until = Instant::now() + WITHIN;
        loop {
            let reply = self.client.get(url).send().await.expect("a reply");
            if reply.status().is_success() {
                return reply;
            }
            let text = reply.text().await.unwrap_or_default();
            assert!(Instant::now() < until, "{url}: {text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn refused(&self, url: &str, status: StatusCode, result: u8) {
        let reply = self.client.get(url).send().await.expect("a reply");
        assert_eq!(reply.status(), status, "{url}");
        assert_eq!(reply.headers()["content-type"], "application/json;charset=utf-8", "{url}");
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!(body, json!({"result": result, "cmsserver": 1}), "{url}");
    }

    /// The segments that a playlist names, as URLs.
    async fn segments(&self) -> Vec<String> {
        let reply = self.shown(&self.hls(&self.session)).await;
        assert_eq!(reply.headers()["content-type"], "application/vnd.apple.mpegurl");
        let text = reply.text().await.expect("text");
        assert!(text.starts_with("#EXTM3U\n") && text.contains("#EXTINF:"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(|line| format!("http://{}/hls/{line}", self.platform.ready.media)).collect()
    }
}

/// The codecs that ffprobe finds behind `url`.
async fn codecs(url: &str) -> String {
    let url = url.to_owned();
    let probe = move || {
        Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url])
            .output()
            .expect("FFmpeg is installed")
    };
    let output = tokio::task::spawn_blocking(probe).await.expect("ffprobe ends");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Fails unless `flv` is an FLV stream; says how many pictures it has, the first being a key frame.
fn pictures(flv: &[u8]) -> usize {
    assert!(flv.starts_with(b"FLV\x01"), "{:02x?}", &flv[..flv.len().min(16)]);
    let (mut pictures, mut at) = (0, 13);
    while let Some([kind, a, b, c, ..]) = flv.get(at..at + 13) {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        assert!([8, 9, 18].contains(kind), "a tag of kind {kind}");
        if *kind == 9 && flv[at + 12] == 1 {
            assert!(pictures > 0 || flv[at + 11] >> 4 == 1, "begins with a key frame");
            pictures += 1;
        }
        at += length + 15;
    }
    pictures
}

async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| panic!("waited {WITHIN:?} for {what}"))
}

async fn the_urls_show_what_the_cameras_see_and_to_nobody_else(form: Form) {
    let Some(stage) = Stage::new(form).await else { return };
    let reply = stage.shown(&stage.flv(&stage.session)).await;
    assert_eq!(reply.headers()["content-type"], "video/x-flv");
    assert!(!reply.headers().contains_key("content-length"), "endless");
    let (mut chunks, mut flv) = (reply.bytes_stream(), Vec::new());
    in_time("pictures by HTTP", async {
        while flv.len() < 13 || pictures(&flv) < 20 {
            flv.extend(chunks.next().await.expect("it goes on").expect("a chunk"));
        }
    })
    .await;
    let found = codecs(&stage.flv(&stage.session)).await;
    assert!(found.contains("h264") && found.contains("aac"), "{found}");

    // Names of parameters in another case, as some clients write them.
    let url = stage.flv(&stage.session).replace("http://", "ws://").replace("DevIDNO", "devIdno");
    let (mut socket, answer) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut flv = Vec::new();
    in_time("pictures by WebSocket", async {
        while flv.len() < 13 || pictures(&flv) < 20 {
            match socket.next().await.expect("it goes on").expect("a message") {
                Message::Binary(bytes) => flv.extend(bytes),
                other => panic!("{other}"),
            }
        }
    })
    .await;
    socket.close(None).await.expect("closes");

    let segments = stage.segments().await;
    let first = segments.first().expect("a segment");
    assert!(first.contains(".ts?") && !first.contains("jsession"), "{first}");
    let reply = stage.client.get(first).send().await.expect("a reply");
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(reply.headers()["content-type"], "video/mp2t");
    let segment = reply.bytes().await.expect("a segment");
    assert!(segment.len() > 188 && segment.len() % 188 == 0);
    assert!(segment.iter().step_by(188).all(|byte| *byte == 0x47), "every packet begins with its sync byte");
    let found = codecs(&stage.hls(&stage.session)).await;
    assert!(found.contains("h264") && found.contains("aac"), "{found}");

    let company = json!({"parent_id": 1, "name": "another"});
    let company = stage.v1(Method::POST, "/companies", company).await["id"].as_i64().expect("an id");
    stage.account(company, "stranger", json!(["view", "live"])).await;
    let stranger = stage.log_in("stranger").await;
    for url in [stage.flv(&stranger), stage.hls(&stranger)] {
        stage.refused(&url, StatusCode::NOT_FOUND, 21).await;
    }
    for session in ["", "x", &"0".repeat(32)] {
        stage.refused(&stage.flv(session), StatusCode::FORBIDDEN, 5).await;
        stage.refused(&stage.hls(session), StatusCode::FORBIDDEN, 5).await;
    }
    let good = stage.flv(&stage.session);
    for wrong in ["Channel=32&Stream=1", "Channel=-1&Stream=1", "Channel=0&Stream=2"] {
        stage.refused(&good.replace(CHANNEL, wrong), StatusCode::BAD_REQUEST, 3).await;
    }
    stage.refused(&good.replace("AVType=1", "AVType=2"), StatusCode::BAD_REQUEST, 3).await;
    stage.refused(&stage.hls(&stage.session).replace("_0_1.", "_32_1."), StatusCode::BAD_REQUEST, 3).await;
}

async fn a_revoked_right_ends_every_view(form: Form) {
    let Some(stage) = Stage::new(form).await else { return };
    let mut http = stage.shown(&stage.flv(&stage.session)).await.bytes_stream();
    let url = stage.flv(&stage.session).replace("http://", "ws://");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
    let segments = stage.segments().await;
    let segment = segments.first().expect("a segment");
    assert!(http.next().await.is_some_and(|chunk| chunk.is_ok()));
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(_)))));
    assert_eq!(stage.client.get(segment).send().await.expect("a reply").status(), StatusCode::OK);

    let path = format!("/roles/{}", stage.role);
    stage.v1(Method::PATCH, &path, json!({"permissions": ["view"]})).await;
    in_time("the end of the view by HTTP", async { while let Some(Ok(_)) = http.next().await {} }).await;
    in_time("the end of the view by WebSocket", async {
        while let Some(Ok(Message::Binary(_))) = socket.next().await {}
    })
    .await;
    in_time("the end of the view by HLS", async {
        while stage.client.get(segment).send().await.expect("a reply").status() != StatusCode::FORBIDDEN {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for url in [stage.flv(&stage.session), stage.hls(&stage.session)] {
        stage.refused(&url, StatusCode::FORBIDDEN, 2).await;
    }
    // What the right was not taken from goes on.
    let reply = stage.action("getDeviceOlStatus", &[("jsession", &stage.session)]).await;
    assert_eq!(reply["result"], 0);
}
