//! Nobody is locked out because the database is away when the platform starts: it comes up, lets terminals in on the
//! word of their codes, keeps what they report on disk, and catches up once the database is there.

mod support;

#[path = "../gateway/tests/support/device.rs"]
#[allow(dead_code, unreachable_pub, reason = "the gateway's own tests use the rest")]
mod device;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db::private::{PrivateServer, PrivateSettings};
use db::testing::TestFolder;
use device::{Device, location};
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _};
use support::{Options, PASSWORD, Platform, wait_for};

const SIM: &str = "13900000021";
/// How long an answer, or a condition, may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(400);

/// An operator's own PostgreSQL, which comes and goes.
struct Operators {
    data: PathBuf,
    conninfo: String,
    running: Option<PrivateServer>,
    _folder: TestFolder,
}

impl Operators {
    async fn new() -> Self {
        let folder = TestFolder::new();
        let data = folder.path().join("db");
        let running = PrivateServer::start(PrivateSettings::new(&data)).await.expect("starts");
        let conninfo = running.conninfo().to_owned();
        Self { data, conninfo, running: Some(running), _folder: folder }
    }

    async fn comes(&mut self) {
        let server = PrivateServer::start(PrivateSettings::new(&self.data)).await.expect("starts");
        assert_eq!(server.conninfo(), self.conninfo);
        self.running = Some(server);
    }

    async fn goes(&mut self) {
        self.running.take().expect("it runs").stop().await.expect("stops");
    }

    fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.conninfo).expect("connects")
    }

    /// What `SELECT count(*)` says of the stored positions, and how many bodies they have.
    fn positions(&self) -> (i64, i64) {
        #[derive(QueryableByName)]
        struct Counts {
            #[diesel(sql_type = BigInt)]
            rows: i64,
            #[diesel(sql_type = BigInt)]
            bodies: i64,
        }
        let counts: Counts =
            diesel::sql_query("SELECT count(*) AS rows, count(DISTINCT body) AS bodies FROM position")
                .get_result(&mut self.connection())
                .expect("counted");
        (counts.rows, counts.bodies)
    }
}

impl Drop for Operators {
    fn drop(&mut self) {
        if let Some(pid) = self.running.as_ref().and_then(PrivateServer::pid) {
            support::signal(pid, "QUIT");
        }
    }
}

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
    wait_for("the reports to be stored", WITHIN, || (database.positions().0 >= 4).then_some(()));
    device.report(&location(at(begin, 5), 0, 5)).await;
    platform.stop();
    assert_eq!(database.positions(), (5, 5), "each of them, once");
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
