//! What the command line refuses, and how clearly it says so; and the proxy, which is told what to do line by line.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use db::testing::TestDb;
use diesel::connection::SimpleConnection as _;
use support::motorcade;

fn refused(args: &[&str], env: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let output = motorcade()
        .args(args)
        .envs(env.iter().copied())
        .arg("--data")
        .arg(folder.path())
        .output()
        .expect("it runs");
    assert!(!output.status.success(), "{args:?} is refused");
    assert!(output.stdout.is_empty(), "nothing is ready");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_role_that_cannot_be_alone_is_refused() {
    assert!(refused(&["serve", "--roles", "login"], &[]).contains("without the role gateway"));
    assert!(refused(&["serve", "--roles", "api,media"], &[]).contains("belongs to a cluster"));
    assert!(refused(&["serve", "--roles", "cook"], &[]).contains("possible values"));
}

#[test]
fn a_wrong_setting_is_named() {
    assert!(refused(&["serve"], &[("MOTORCADE__WEB__LISEN", "127.0.0.1:0")]).contains("lisen"));
    assert!(refused(&["serve"], &[("MOTORCADE__GATEWAY__ADMISSION", "everybody")]).contains("everybody"));
    assert!(
        refused(&["serve"], &[("MOTORCADE__TLS__CERT", "x")]).contains("tls.cert and tls.key go together")
    );
    assert!(refused(&["serve", "--config", "does-not-exist.toml"], &[]).contains("does-not-exist.toml"));
}

#[test]
fn settings_of_listeners_not_built_yet_are_accepted_and_unused() {
    // Refused for the role, not for the settings.
    let env =
        [("MOTORCADE__PLAYBACK__LISTEN", "127.0.0.1:0"), ("MOTORCADE__RTSP__ADVERTISE", "rtsp.example:554")];
    assert!(refused(&["serve", "--roles", "login"], &env).contains("without the role gateway"));
}

#[test]
fn a_node_of_a_cluster_says_what_it_lacks() {
    let etcd = ("MOTORCADE__ETCD__ENDPOINTS", "http://127.0.0.1:1");
    assert!(refused(&["serve"], &[etcd]).contains("cluster.node"));
    let node = ("MOTORCADE__CLUSTER__NODE", "gw1");
    assert!(refused(&["serve"], &[etcd, node]).contains("cluster.certs"));
    let certs = ("MOTORCADE__CLUSTER__CERTS", "/nowhere");
    assert!(refused(&["serve"], &[etcd, node, certs]).contains("cluster.advertise"));
    let listen = ("MOTORCADE__CLUSTER__LISTEN", "127.0.0.1:0");
    assert!(refused(&["serve"], &[etcd, node, certs, listen]).contains("/nowhere"));
    assert!(refused(&["serve"], &[("MOTORCADE__CLUSTER__NODE", "GW 1")]).contains("GW 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_lose_data_is_refused_before_anything_is_ready() {
    let database = TestDb::new().await;
    database
        .connection()
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); \
             END $$",
        )
        .expect("set");
    let env = [
        ("MOTORCADE__DATABASE__URL", database.conninfo()),
        ("MOTORCADE__WEB__LISTEN", "127.0.0.1:0"),
        ("MOTORCADE__LOGIN__LISTEN", "127.0.0.1:0"),
        ("MOTORCADE__GATEWAY__LISTEN", "127.0.0.1:0"),
        ("MOTORCADE__MEDIA__LISTEN", "127.0.0.1:0"),
        ("MOTORCADE__LIVE__LISTEN", "127.0.0.1:0"),
        ("MOTORCADE__METRICS__LISTEN", "127.0.0.1:0"),
    ];
    // again and again: which of two ends of a start is seen first is chance
    for _ in 0..6 {
        assert!(refused(&["serve"], &env).contains("synchronous_commit=off"));
    }
}

#[test]
fn terminals_and_a_proxy_are_not_asked_for_at_once() {
    let output = motorcade()
        .args(["sim", "--terminals", "1", "proxy", "--to", "127.0.0.1:1"])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let output = motorcade().args(["sim", "proxy", "--to", "127.0.0.1"]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("host:port"), "{output:?}");
}

#[test]
fn a_proxy_does_what_each_line_says() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = server.local_addr().expect("bound").to_string();
    let child = motorcade()
        .args(["sim", "proxy", "--to", &to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut child = Killed(child);
    let mut orders = child.0.stdin.take().expect("piped");
    let mut lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
    let mut told = || -> serde_json::Value {
        serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON")
    };
    let proxy = told()["proxy"].as_str().expect("an address").to_owned();

    let mut near = TcpStream::connect(&proxy).expect("it listens");
    let (mut far, _) = server.accept().expect("it forwards");
    near.write_all(b"x").expect("sent");
    far.read_exact(&mut [0]).expect("received");
    writeln!(orders, r#"{{"set":{{"refuse":true,"down":{{"silence":"swallow"}}}}}}"#).expect("it listens");
    assert_eq!(told()["accepted"], 1);
    writeln!(orders, r#"{{"set":{{"loss":1}}}}"#).expect("it listens");
    assert!(told()["error"].as_str().is_some_and(|error| error.contains("loss")));
    // The fault set before is still there.
    let refused = TcpStream::connect(&proxy).and_then(|mut stream| stream.read(&mut [0]));
    assert!(refused.is_err(), "{refused:?}");
    writeln!(orders, r#""reset""#).expect("it listens");
    assert_eq!(told()["refused"], 1);
    assert!(near.read(&mut [0]).is_err() && far.read(&mut [0]).is_err());
}

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
