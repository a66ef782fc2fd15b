//! Rights over live video, end to end through the real binary: who may open a stream, and until when a view runs.

mod support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use hmac::{Hmac, Mac as _};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use support::installation::{Form, Installation};
use support::{Options, PASSWORD, http};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// How long the demo's vehicles may take to come online, and a view to end once its right is gone.
const WITHIN: Duration = Duration::from_secs(90);

crate::in_both_forms!(
    a_running_stream_has_a_snapshot_over_its_route,
    another_company_s_stream_is_not_found_and_a_revoked_right_ends_running_views,
);

async fn demo(form: Form) -> Option<Installation> {
    // The first picture waits for its clip to be made.
    let options = Options::default().arg("--demo").env("MOTORCADE__MEDIA__START_S", "60");
    Installation::start(form, options).await
}

/// A person's way to the API.
struct Person {
    client: Client,
    base: String,
    token: String,
}

impl Person {
    async fn log_in(platform: &Installation, account: &str) -> Self {
        let (client, base) = (http(), platform.url(""));
        let body = json!({"account": account, "password": PASSWORD});
        let reply =
            client.post(format!("{base}/api/v1/auth/login")).json(&body).send().await.expect("a reply");
        let tokens: Value = reply.json().await.expect("tokens");
        let token = tokens["access_token"].as_str().expect("a token").to_owned();
        Self { client, base, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request =
            self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.expect("a reply");
        (reply.status(), reply.json().await.unwrap_or_default())
    }

    async fn make(&self, path: &str, body: Value) -> i64 {
        let (status, made) = self.ask(Method::POST, path, Some(body)).await;
        assert_eq!(status, 201, "{path}: {made}");
        made["id"].as_i64().expect("an id")
    }

    /// The URLs of a live stream.
    async fn live(&self, vehicle: &Value) -> Value {
        let path = format!("/vehicles/{}/channels/1/live", vehicle["id"]);
        let (status, live) = self.ask(Method::POST, &path, Some(json!({"profile": "main"}))).await;
        assert_eq!(status, 200, "{live}");
        live["urls"].clone()
    }
}

/// A demo's vehicle, once one is online.
async fn vehicle(admin: &Person) -> Value {
    let until = Instant::now() + WITHIN;
    loop {
        let (_, page) = admin.ask(Method::GET, "/vehicles?online=true", None).await;
        if let Some(vehicle) = page["items"].get(0) {
            return vehicle.clone();
        }
        assert!(Instant::now() < until, "no vehicle came online");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn status(url: &str) -> StatusCode {
    http().get(url).send().await.expect("a reply").status()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}"))
}

/// An account in `company`, with a role of its own that allows `permissions`: their keys.
async fn account(admin: &Person, name: &str, company: &Value, permissions: &[&str]) -> (i64, i64) {
    let role = json!({"company_id": company, "name": name, "permissions": permissions});
    let role = admin.make("/roles", role).await;
    let account = json!({"company_id": company, "role_id": role, "name": name, "password": PASSWORD});
    (admin.make("/accounts", account).await, role)
}

async fn a_running_stream_has_a_snapshot_over_its_route(form: Form) {
    let Some(platform) = demo(form).await else { return };
    let admin = Person::log_in(&platform, "admin").await;
    let vehicle = vehicle(&admin).await;
    let path = format!("/vehicles/{}/channels/1/snapshot", vehicle["id"]);
    let (before, problem) = admin.ask(Method::GET, &path, None).await;
    assert_eq!(before, 409, "nothing runs: {problem}");
    let urls = admin.live(&vehicle).await;
    let mut view = http().get(text(&urls, "http_flv")).send().await.expect("a view");
    assert_eq!(view.status(), 200);
    assert!(view.chunk().await.expect("bytes").is_some());
    let url = format!("{}/api/v1{path}", admin.base);
    let reply = admin.client.get(url).bearer_auth(&admin.token).send().await.expect("a reply");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "image/jpeg");
    let jpeg = reply.bytes().await.expect("a picture");
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));
}

async fn another_company_s_stream_is_not_found_and_a_revoked_right_ends_running_views(form: Form) {
    let Some(platform) = demo(form).await else { return };
    let admin = Person::log_in(&platform, "admin").await;
    let vehicle = vehicle(&admin).await;
    let ours = &vehicle["company_id"];
    let theirs = json!(admin.make("/companies", json!({"parent_id": ours, "name": "theirs"})).await);
    account(&admin, "stranger", &theirs, &["view", "live"]).await;
    let (_, role) = account(&admin, "watcher", ours, &["view", "live"]).await;
    let (mover, _) = account(&admin, "mover", ours, &["view", "live"]).await;

    only_a_good_ticket_of_the_stream_opens_it(&platform, &admin, &vehicle).await;
    another_company_s_stream_is_not_found(&platform, &vehicle).await;
    an_account_that_moves_away_sees_no_stream(&platform, &admin, &vehicle, mover, &theirs).await;
    a_revoked_right_ends_running_views(&platform, &admin, &vehicle, role).await;
}

/// The platform's own tickets, at its own port; the link stays open for what comes after a refusal.
async fn only_a_good_ticket_of_the_stream_opens_it(platform: &Installation, admin: &Person, vehicle: &Value) {
    let urls = admin.live(vehicle).await;
    for form in ["http_flv", "hls"] {
        let good = text(&urls, form);
        let (path, ticket) = good.split_once("?ticket=").unwrap_or_else(|| panic!("{good}"));
        let mut changed = ticket.to_owned();
        let last = changed.pop().expect("a signature");
        changed.push(if last == 'A' { 'Q' } else { 'A' });
        let other_stream = path.replacen("-1-main", "-2-main", 1);
        assert_ne!(other_stream, path);
        for (why, url, status) in [
            ("none", path.to_owned(), 401),
            ("empty", format!("{path}?ticket="), 401),
            ("wrong", format!("{path}?ticket={changed}"), 401),
            ("expired", format!("{path}?ticket={}", expired(platform, ticket)), 401),
            ("of another stream", format!("{other_stream}?ticket={ticket}"), 403),
        ] {
            let reply = http().get(&url).send().await.expect("a reply");
            assert_eq!(reply.status(), status, "{form}, {why}");
            assert_eq!(reply.headers()["content-type"], "application/problem+json", "{form}, {why}");
            assert_ne!(reply.headers().get("connection").map(|way| way.as_bytes()), Some(&b"close"[..]));
        }
    }
    let view = http().get(text(&urls, "http_flv")).send().await.expect("a view");
    assert_eq!(view.status(), 200, "the ticket itself is good");
}

/// A ticket that the platform signed as `ticket`, for a time that is over.
fn expired(platform: &Installation, ticket: &str) -> String {
    let secrets = std::fs::read_to_string(platform.secrets.join("secrets.json")).expect("secrets");
    let secrets: Value = serde_json::from_str(&secrets).expect("JSON");
    let secret = URL_SAFE_NO_PAD.decode(text(&secrets["access"]["tickets"][0], "secret")).expect("a secret");
    let sign = |claims: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
        mac.update(b"play ticket\0");
        mac.update(claims.as_bytes());
        format!("{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let (claims, _) = ticket.rsplit_once('.').expect("a signature");
    assert_eq!(sign(claims), ticket, "signed as the platform signs");
    let (rest, until) = claims.rsplit_once('.').expect("a time");
    let until: i64 = until.parse().expect("seconds");
    sign(&format!("{rest}.{}", until - 120))
}

async fn another_company_s_stream_is_not_found(platform: &Installation, vehicle: &Value) {
    let stranger = Person::log_in(platform, "stranger").await;
    let path = format!("/vehicles/{}/channels/1/live", vehicle["id"]);
    assert_eq!(stranger.ask(Method::POST, &path, Some(json!({}))).await.0, 404);
    let login = format!(
        "{}/StandardApiAction_login.action?account=stranger&password={}",
        stranger.base,
        PASSWORD.replace(' ', "%20")
    );
    let login: Value = http().get(login).send().await.expect("a reply").json().await.expect("JSON");
    let (session, device) = (text(&login, "jsession"), text(&vehicle["terminals"][0], "device_no"));
    for path in [
        format!("3/3?AVType=1&jsession={session}&DevIDNO={device}&Channel=0&Stream=0"),
        format!("hls/1_{device}_0_0.m3u8?jsession={session}"),
    ] {
        let reply =
            http().get(format!("http://{}/{path}", platform.ready.media)).send().await.expect("a reply");
        assert_eq!(reply.status(), 404, "{path}");
        let body: Value = reply.json().await.expect("JSON");
        assert_eq!(body["result"], 21, "{path}");
    }
}

/// A ticket outlives the sight of its stream, not the right to open it.
async fn an_account_that_moves_away_sees_no_stream(
    platform: &Installation,
    admin: &Person,
    vehicle: &Value,
    mover: i64,
    theirs: &Value,
) {
    let urls = Person::log_in(platform, "mover").await.live(vehicle).await;
    // Roles belong to a company and those below it, so the account may keep its own.
    let change = json!({"company_id": theirs});
    let (moved, reply) = admin.ask(Method::PATCH, &format!("/accounts/{mover}"), Some(change)).await;
    assert_eq!(moved, 200, "{reply}");
    for form in ["http_flv", "hls"] {
        assert_eq!(status(text(&urls, form)).await, 404, "{form}");
    }
}

async fn a_revoked_right_ends_running_views(
    platform: &Installation,
    admin: &Person,
    vehicle: &Value,
    role: i64,
) {
    let watcher = Person::log_in(platform, "watcher").await;
    let urls = watcher.live(vehicle).await;
    let flv = http().get(text(&urls, "http_flv")).send().await.expect("a view");
    assert_eq!(flv.status(), 200);
    let master = http().get(text(&urls, "hls")).send().await.expect("a view");
    let base = master.url().clone();
    let master = master.text().await.expect("a playlist");
    let media = base.join(master.lines().last().expect("a line")).expect("a URL");
    assert_eq!(status(media.as_str()).await, 200, "{master}");
    let (mut socket, _) = connect_async(text(&urls, "ws_flv")).await.expect("a view");
    assert!(matches!(socket.next().await, Some(Ok(Message::Binary(flv))) if flv.starts_with(b"FLV")));
    let unused = watcher.live(vehicle).await;

    let change = json!({"permissions": ["view"]});
    assert_eq!(admin.ask(Method::PATCH, &format!("/roles/{role}"), Some(change)).await.0, 200);
    let ended = tokio::time::timeout(WITHIN, flv.bytes_stream().for_each(|_| async {}));
    ended.await.expect("the running view ends");
    let ended = tokio::time::timeout(WITHIN, async {
        while let Some(Ok(Message::Binary(_))) = socket.next().await {}
    });
    ended.await.expect("the running view by WebSocket ends");
    assert_eq!(status(media.as_str()).await, 403);
    assert_eq!(status(text(&unused, "http_flv")).await, 403, "a ticket from before");
}
