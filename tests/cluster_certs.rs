//! `motorcade cluster certs`: what an operator gets, and what is never overwritten.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cluster::{Credentials, NodeId};
use support::motorcade;

/// What it said, and whether it did it.
fn certs(dir: &Path, args: &[&str]) -> Result<String, String> {
    let output =
        motorcade().args(["cluster", "certs", "--dir"]).arg(dir).args(args).output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).expect("there")
}

fn usable(dir: &Path, node: &str) -> bool {
    let node: NodeId = node.parse().expect("a name");
    Credentials::watch(node.clone(), &dir.join(node.as_str())).is_ok()
}

#[tokio::test]
async fn every_node_gets_a_folder_and_nothing_is_overwritten_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = &folder.path().join("cluster");
    let said = certs(dir, &["gw1", "login1"]).expect("made");
    for node in ["gw1", "login1"] {
        assert!(usable(dir, node));
        assert!(said.contains(&format!("{node}: copy {}/", dir.join(node).display())), "{said}");
        assert_eq!(read(&dir.join(node), "secrets.json"), read(dir, "secrets.json"));
        for file in ["node.key", "secrets.json"] {
            let mode = fs::metadata(dir.join(node).join(file)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
    let ca_mode = fs::metadata(dir.join("ca.key")).expect("there").permissions().mode();
    assert_eq!(ca_mode & 0o777, 0o600);

    let (authority, gw1, login1) =
        (read(dir, "ca.pem"), read(dir, "gw1/node.pem"), read(dir, "login1/node.pem"));
    let refused = certs(dir, &["gw2", "gw1"]).expect_err("gw1 has one");
    assert!(refused.contains("gw1 has a certificate") && refused.contains("--renew"), "{refused}");
    assert!(!dir.join("gw2").exists(), "all or nothing");
    certs(dir, &["gw2"]).expect("another node, later");
    certs(dir, &["gw1", "--renew", "--days", "30"]).expect("renewed");
    assert!(usable(dir, "gw1") && usable(dir, "gw2"));
    assert_ne!(read(dir, "gw1/node.pem"), gw1);
    assert_eq!(read(dir, "login1/node.pem"), login1);
    assert_eq!(read(dir, "ca.pem"), authority);
    assert_eq!(read(&dir.join("gw2"), "secrets.json"), read(dir, "secrets.json"));
}

#[test]
fn a_platform_that_runs_already_keeps_its_secrets() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [running, dir] = folders.each_ref().map(|folder| folder.path());
    certs(running, &["alone"]).expect("made");
    fs::copy(running.join("secrets.json"), dir.join("secrets.json")).expect("copied");
    certs(dir, &["gw1"]).expect("made");
    assert_eq!(read(&dir.join("gw1"), "secrets.json"), read(running, "secrets.json"));
    assert_ne!(read(dir, "ca.pem"), read(running, "ca.pem"));
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = &folder.path().join("cluster");
    let wrong: [(&[&str], &str); 4] = [
        (&["Gw1"], "no node's name"),
        (&["gw1", "--days", "0"], "0"),
        (&["gw1", "--ca-days", "40000"], "40000"),
        (&[], "NODE"),
    ];
    for (args, word) in wrong {
        let refused = certs(dir, args).expect_err("refused");
        assert!(refused.contains(word), "{refused}");
        assert!(!dir.exists());
    }
    certs(dir, &["gw1"]).expect("made");
    fs::remove_file(dir.join("secrets.json")).expect("removed");
    let refused = certs(dir, &["gw2"]).expect_err("the others have secrets that are not here");
    assert!(refused.contains("secrets.json is missing"), "{refused}");
    assert!(!dir.join("gw2").exists());
    fs::copy(dir.join("gw1/secrets.json"), dir.join("secrets.json")).expect("copied back");
    fs::remove_file(dir.join("ca.key")).expect("removed");
    assert!(certs(dir, &["gw2"]).expect_err("half an authority").contains("ca.key"));
}
