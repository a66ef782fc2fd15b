//! TLS on the viewer port: a new certificate is served without a restart.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use support::{Options, Platform, http};

/// A self-signed pair for `localhost` in both files; its certificate in PEM.
fn write_pair(dir: &Path) -> String {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    std::fs::write(dir.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
    std::fs::write(dir.join("cert.pem"), pair.cert.pem()).expect("written");
    pair.cert.pem()
}

/// Whether the viewer port shows `pem`: it then answers, with 401 where there is no ticket.
async fn shows(platform: &Platform, pem: &str) -> bool {
    // For its TLS provider.
    drop(http());
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder().add_root_certificate(root).tls_built_in_root_certs(false);
    let url = format!("https://localhost:{}/live/live-1-1-main.flv", platform.ready.media.port());
    client.build().expect("a client").get(url).send().await.is_ok_and(|reply| reply.status() == 401)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_viewers_without_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = write_pair(dir.path());
    let file = |name: &str| dir.path().join(name).display().to_string();
    let options = Options::default()
        .env("MOTORCADE__TLS__CERT", &file("cert.pem"))
        .env("MOTORCADE__TLS__KEY", &file("key.pem"));
    let platform = Platform::start(options);
    assert!(shows(&platform, &first).await);
    let second = write_pair(dir.path());
    let since = Instant::now();
    while !shows(&platform, &second).await {
        assert!(since.elapsed() < Duration::from_secs(30), "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!shows(&platform, &first).await);
}
