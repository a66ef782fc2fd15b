//! TLS: a new certificate is served without a restart.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::Server;
use api::Certificate;
use reqwest::Client;

/// A self-signed pair for `localhost` in both files; its certificate in PEM.
fn write_pair(dir: &Path) -> String {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    std::fs::write(dir.join("key.pem"), pair.signing_key.serialize_pem()).expect("written");
    std::fs::write(dir.join("cert.pem"), pair.cert.pem()).expect("written");
    pair.cert.pem()
}

async fn trusts(server: &Server, pem: &str) -> bool {
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = Client::builder().add_root_certificate(root).tls_built_in_root_certs(false).build();
    let url = format!("https://localhost:{}/healthz", server.addr.port());
    client.expect("a client").get(url).send().await.is_ok_and(|reply| reply.status() == 200)
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = write_pair(dir.path());
    let certificate =
        Certificate::watch(&dir.path().join("cert.pem"), &dir.path().join("key.pem")).expect("a pair");
    let server = Server::with(Some(certificate.server_config())).await;
    assert!(trusts(&server, &first).await);
    let second = write_pair(dir.path());
    let since = Instant::now();
    while !trusts(&server, &second).await {
        assert!(since.elapsed() < Duration::from_secs(30), "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!trusts(&server, &first).await);
    server.stop().await;
}
