//! TLS by the two settings, on every HTTP listener: people and players come by it, and a new certificate is served
//! without a restart.

mod support;

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use support::{Options, PASSWORD, Platform, http, wait_for, wait_until};

/// How long a new certificate may take to be shown, and the demo's vehicles to come online.
const WITHIN: Duration = Duration::from_secs(90);

/// A self-signed pair for `localhost`, in PEM.
struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        Self { cert: pair.cert.pem(), key: pair.signing_key.serialize_pem() }
    }

    fn write(&self, dir: &Path) {
        std::fs::write(dir.join("key.pem"), &self.key).expect("written");
        std::fs::write(dir.join("cert.pem"), &self.cert).expect("written");
    }

    /// Somebody who trusts this pair alone.
    fn client(&self) -> Client {
        // For its TLS provider.
        drop(http());
        let root = reqwest::Certificate::from_pem(self.cert.as_bytes()).expect("a certificate");
        let client = Client::builder().add_root_certificate(root).tls_built_in_root_certs(false);
        client.build().expect("a client")
    }

    /// Whether both listeners show it: they then answer.
    async fn is_shown(&self, platform: &Platform) -> bool {
        let live = format!("https://localhost:{}/live/live-1-1-main.flv", platform.ready.media.port());
        for (url, status) in [(web(platform, "/healthz"), 200), (live, 401)] {
            if self.client().get(url).send().await.is_ok_and(|reply| reply.status() == status) {
                continue;
            }
            return false;
        }
        true
    }
}

fn web(platform: &Platform, path: &str) -> String {
    format!("https://localhost:{}{path}", platform.ready.web.port())
}

fn options(dir: &Path) -> Options {
    let file = |name: &str| dir.join(name).display().to_string();
    Options::default()
        .env("MOTORCADE__TLS__CERT", &file("cert.pem"))
        .env("MOTORCADE__TLS__KEY", &file("key.pem"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_without_a_restart_and_half_a_pair_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, second) = (Pair::new(), Pair::new());
    first.write(dir.path());
    let platform = Platform::start(options(dir.path()));
    assert!(first.is_shown(&platform).await);

    std::fs::write(dir.path().join("cert.pem"), &second.cert).expect("written");
    wait_for("half a pair to be seen", WITHIN, || {
        let log = std::fs::read_to_string(&platform.log).expect("a log");
        log.contains("the old one stays").then_some(())
    });
    assert!(first.is_shown(&platform).await);

    second.write(dir.path());
    wait_until("the new certificate to be shown", WITHIN, async || {
        second.is_shown(&platform).await.then_some(())
    })
    .await;
    assert!(!first.is_shown(&platform).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_players_come_by_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = Pair::new();
    pair.write(dir.path());
    let platform = Platform::start(options(dir.path()).arg("--demo"));
    let client = pair.client();
    let login = json!({"account": "admin", "password": PASSWORD});
    let login = client.post(web(&platform, "/api/v1/auth/login")).json(&login).send().await;
    let login: Value = login.expect("a reply").json().await.expect("JSON");
    let token = login["access_token"].as_str().expect("a token");

    let vehicle = wait_until("a vehicle to come online", WITHIN, async || {
        let page = client.get(web(&platform, "/api/v1/vehicles?online=true")).bearer_auth(token).send().await;
        let page: Value = page.expect("a reply").json().await.expect("JSON");
        page["items"].get(0).map(|vehicle| vehicle["id"].clone())
    })
    .await;
    let live = web(&platform, &format!("/api/v1/vehicles/{vehicle}/channels/1/live"));
    let live = client.post(live).bearer_auth(token).json(&json!({})).send().await;
    let live: Value = live.expect("a reply").json().await.expect("JSON");
    let url =
        |form: &str| live["urls"][form].as_str().unwrap_or_else(|| panic!("{form} of {live}")).to_owned();
    assert!(url("ws_flv").starts_with("wss://"), "{live}");
    assert!(url("hls").starts_with("https://"), "{live}");
    let mut view = client.get(url("http_flv")).send().await.expect("a view");
    assert_eq!(view.status(), 200);
    assert!(view.chunk().await.expect("bytes").expect("some").starts_with(b"FLV"));

    let plain = http().get(platform.url("/healthz")).send().await;
    assert!(plain.is_err(), "nothing is said in the clear");
}
