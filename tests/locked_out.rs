//! Nobody is locked out because the database is away when the platform starts: it comes up, lets terminals in on the
//! word of their codes, keeps what they report on disk, and catches up once the database is there.

mod support;

#[path = "../gateway/tests/tcp/support/device.rs"]
#[allow(dead_code, unreachable_pub, reason = "the gateway's own tests use the rest")]
mod device;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db::private::running_conninfo;
use db::testing::TestFolder;
use device::{Device, location};
use diesel::connection::SimpleConnection as _;
use support::operators::{Operators, positions};
use support::{Options, PASSWORD, Platform, motorcade, wait_for};

const SIM: &str = "13900000021";
/// How long an answer, or a condition, may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(400);

fn options(database: &Operators) -> Options {
    Options::default()
        .env("MOTORCADE__DATABASE__URL", &database.conninfo)
        .env("MOTORCADE__GATEWAY__ADMISSION", "open")
}

async fn status(platform: &Platform, path: &str) -> u16 {
    support::http().get(platform.url(path)).send().await.expect("answered").status().as_u16()
}

async fn becomes_ready(platform: &Platform) {
    let until = tokio::time::Instant::now() + WITHIN;
    while status(platform, "/readyz").await != 200 {
        assert!(tokio::time::Instant::now() < until, "never ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn at(begin: DateTime<Utc>, second: i64) -> DateTime<Utc> {
    begin + TimeDelta::seconds(second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_locked_out_because_the_database_is_away() {
    let mut database = Operators::new().await;
    let mut platform = Platform::start(options(&database));
    platform.keep_ports();
    let gateway = platform.ready.gateway;
    let code = Device::connect(gateway, SIM).await.register("").await.expect("registered");
    platform.stop();
    database.goes().await;

    let begin = Utc::now() - TimeDelta::hours(1);
    platform.restart();
    assert_eq!(status(&platform, "/healthz").await, 200);
    assert_eq!(status(&platform, "/readyz").await, 503, "it says that it cannot serve people yet");
    let mut device = Device::connect(gateway, SIM).await;
    assert_eq!(device.authenticate(&code).await, 0, "a genuine code vouches for itself");
    assert_eq!(
        Device::connect(gateway, "13900000022").await.authenticate(&code).await,
        1,
        "but for its own SIM"
    );
    for number in 1..=3 {
        device.report(&location(at(begin, i64::from(number)), 0, number)).await;
    }

    // acknowledged, hence on disk: killed, it knows them at the next start, database or not
    platform.kill();
    platform.restart();
    let mut device = Device::connect(gateway, SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    for number in 2..=4 {
        device.report(&location(at(begin, i64::from(number)), 0, number)).await;
    }
    assert_eq!(status(&platform, "/readyz").await, 503);

    database.comes().await;
    becomes_ready(&platform).await;
    wait_for("the reports to be stored", WITHIN, || (positions(&database.conninfo).0 >= 4).then_some(()));
    device.report(&location(at(begin, 5), 0, 5)).await;
    platform.stop();
    assert_eq!(positions(&database.conninfo), (5, 5), "each of them, once");
    database.goes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_never_met_its_database_makes_itself_at_home_when_it_comes() {
    let mut database = Operators::new().await;
    database.goes().await;
    let platform = Platform::start(options(&database));
    let log_in = async || {
        let login = serde_json::json!({ "account": "admin", "password": PASSWORD });
        let reply = support::http().post(platform.url("/api/v1/auth/login")).json(&login).send().await;
        reply.expect("answered").status().as_u16()
    };
    assert_eq!(log_in().await, 503);
    database.comes().await;
    becomes_ready(&platform).await;
    // the first account follows the tables
    let until = tokio::time::Instant::now() + WITHIN;
    while log_in().await != 200 {
        assert!(tokio::time::Instant::now() < until, "nobody can log in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(platform);
    database.goes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_lose_acknowledged_data_ends_the_platform_whenever_it_comes() {
    let mut database = Operators::new().await;
    database.connection().batch_execute("ALTER SYSTEM SET fsync = off").expect("set");
    database.goes().await;
    let mut platform = Platform::start(options(&database));
    assert_eq!(platform.ended(), None);
    database.comes().await;
    let status = wait_for("the end", WITHIN, || platform.ended());
    assert!(!status.success());
    let log = std::fs::read_to_string(&platform.log).expect("a log");
    assert!(log.contains("refusing a server with fsync=off"), "{log}");
    database.goes().await;
}

/// Acknowledged on the word of the disk alone: it is in the backup, and stored wherever that is restored.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_while_the_database_was_away_is_in_a_backup() {
    let mut database = Operators::new().await;
    let mut platform = Platform::start(options(&database));
    let mut device = Device::connect(platform.ready.gateway, SIM).await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    let begin = Utc::now() - TimeDelta::hours(1);
    device.report(&location(at(begin, 1), 0, 1)).await;
    database.goes().await;
    for number in 2..=4 {
        device.report(&location(at(begin, i64::from(number)), 0, number)).await;
    }
    // Nothing drains it: the database comes back behind the platform's end.
    platform.kill();
    database.comes().await;
    assert_eq!(positions(&database.conninfo), (1, 1));

    let folder = TestFolder::new();
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    let run = |command: &str, data: &Path, option: &str, envs: &[(&str, &str)]| {
        let mut motorcade = motorcade();
        motorcade.arg(command).arg("--data").arg(data).arg(option).arg(&copy).envs(envs.iter().copied());
        let output = motorcade.output().expect("the binary runs");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("backup", &platform.data, "--to", &[("MOTORCADE__DATABASE__URL", &database.conninfo)]);
    run("restore", &data, "--from", &[]);

    let admitted = Options::default().env("MOTORCADE__GATEWAY__ADMISSION", "known");
    let restored = Platform::start_in(admitted, &data);
    let conninfo = running_conninfo(&data).expect("it runs");
    wait_for("the spool to be drained", WITHIN, || (positions(&conninfo) == (4, 4)).then_some(()));
    // The secrets came along: its code is still good.
    let mut device = Device::connect(restored.ready.gateway, SIM).await;
    assert_eq!(device.authenticate(&code).await, 0);
    database.goes().await;
}
