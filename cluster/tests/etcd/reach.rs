//! Reaching etcd: endpoints that fail, and certificates.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use cluster::etcd::EtcdSettings;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::node::{joined, leader_after, login};
use crate::server::{Server, Tls};

#[tokio::test]
async fn endpoints_that_refuse_or_keep_silent_are_passed_over() {
    let Some(etcd) = Server::start().await else { return };
    // Connections come to it and are never accepted, so nothing is ever said.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let refusing = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let mut settings = etcd.settings();
    let silent_address = silent.local_addr().expect("bound");
    settings.endpoints.insert(0, format!("http://{silent_address}"));
    settings.endpoints.insert(0, format!("http://{refusing}"));
    let a = joined(&settings, &login("a", 1)).await;
    leader_after(&a.views(), None).await;
    assert_eq!(a.etcd_away_since(), None);
    a.shutdown().await;
}

#[tokio::test]
async fn etcd_and_node_know_each_other_by_certificates() {
    let Some(etcd) = Server::start_with(|folder| Some(certificates(folder))).await else { return };
    let a = joined(&etcd.settings(), &login("a", 1)).await;
    leader_after(&a.views(), None).await;
    a.shutdown().await;
    let stranger = EtcdSettings { cert: None, key: None, ..etcd.settings() };
    let stranger = cluster::etcd::Agreement::new(&stranger).expect("settings that work");
    stranger.look().await.expect_err("etcd asks for a certificate");
}

/// One certificate for both sides, by an authority made for it.
fn certificates(folder: &Path) -> Tls {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("signed").pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let cert = params.signed_by(&key, &issuer).expect("signed").pem();
    let tls = Tls { ca: folder.join("ca.pem"), cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    for (path, text) in [(&tls.ca, ca_pem), (&tls.cert, cert), (&tls.key, key.serialize_pem())] {
        fs::write(path, text).expect("written");
    }
    tls
}
