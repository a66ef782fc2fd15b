//! What the command line refuses, and how clearly it says so.

mod support;

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
fn a_role_not_built_yet_is_refused() {
    assert!(refused(&["serve", "--roles", "login,gateway"], &[]).contains("the role login is not built yet"));
    assert!(refused(&["serve", "--roles", "api"], &[]).contains("gateway"));
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
        [("MOTORCADE__LOGIN__LISTEN", "127.0.0.1:0"), ("MOTORCADE__RTSP__ADVERTISE", "rtsp.example:554")];
    assert!(refused(&["serve", "--roles", "login"], &env).contains("the role login is not built yet"));
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
