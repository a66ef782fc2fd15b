//! `serve` begins and ends in order although its database is out of sorts just then.

mod support;

#[path = "../gateway/tests/tcp/support/device.rs"]
#[allow(dead_code, unreachable_pub, reason = "the gateway's own tests use the rest")]
mod device;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use db::testing::TestDb;
use device::Device;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Integer;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _};
use support::{Options, PASSWORD, Platform, signal, wait_for};

/// How long a condition may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may come before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(400);

async fn log_in(platform: &Platform) -> u16 {
    let login = serde_json::json!({ "account": "admin", "password": PASSWORD });
    let reply = support::http().post(platform.url("/api/v1/auth/login")).json(&login).send().await;
    reply.expect("answered").status().as_u16()
}

/// Whether the private server of `data` takes writes from new connections.
fn take_writes(data: &Path, taken: bool) {
    let conninfo = db::private::running_conninfo(data).expect("it runs");
    let mut conn = PgConnection::establish(&conninfo).expect("the private server answers");
    conn.batch_execute("SET default_transaction_read_only = off").expect("set");
    let read_only = if taken { "off" } else { "on" };
    conn.batch_execute(&format!("ALTER DATABASE motorcade SET default_transaction_read_only = {read_only}"))
        .expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_server_that_takes_no_writes_yet_is_waited_for() {
    let mut platform = Platform::start(Options::default());
    take_writes(&platform.data, false);
    platform.kill();
    platform.restart();
    assert_eq!(log_in(&platform).await, 503, "terminals are served, people not yet");
    take_writes(&platform.data, true);
    let until = tokio::time::Instant::now() + WITHIN;
    while log_in(&platform).await != 200 {
        assert!(tokio::time::Instant::now() < until, "nobody can log in");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    platform.stop();
}

/// The server's processes that served terminals' links, halted until this is dropped. They idle: one that is halted
/// with a lock would halt others.
struct Halted(Vec<u32>);

impl Halted {
    fn all_of(database: &TestDb) -> Self {
        #[derive(QueryableByName)]
        struct Process {
            #[diesel(sql_type = Integer)]
            pid: i32,
        }
        let idle = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                    AND application_name = 'motorcade links' AND state = 'idle'";
        let mut conn = database.connection();
        let processes = wait_for("idle links", WITHIN, || {
            let processes: Vec<Process> = diesel::sql_query(idle).load(&mut conn).expect("listed");
            Some(processes).filter(|processes| !processes.is_empty())
        });
        let halted = Self(processes.iter().map(|process| process.pid.cast_unsigned()).collect());
        halted.0.iter().for_each(|pid| signal(*pid, "STOP"));
        halted
    }
}

impl Drop for Halted {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, "CONT"));
    }
}

#[test]
fn who_is_told_to_end_while_it_starts_ends_well() {
    let folder = tempfile::tempdir().expect("a folder");
    // Takes connections and says nothing: the start waits for it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let conninfo = format!("host=127.0.0.1 port={} dbname=none", silent.local_addr().expect("bound").port());
    let mut platform = support::motorcade()
        .args(["serve", "--data"])
        .arg(folder.path())
        .envs(Options::default().env("MOTORCADE__DATABASE__URL", &conninfo).env)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let _asked = silent.accept().expect("it asks");
    signal(platform.id(), "TERM");
    let status = wait_for("the end", WITHIN, || platform.try_wait().expect("it was ours"));
    assert!(status.success(), "{status}");
    let mut said = String::new();
    platform.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    assert_eq!(said, "", "it was not ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_silent_does_not_hold_up_the_end() {
    let database = TestDb::new().await;
    let options = Options::default()
        .env("MOTORCADE__DATABASE__URL", database.conninfo())
        .env("MOTORCADE__GATEWAY__ADMISSION", "open");
    let mut platform = Platform::start(options);
    let register = async |sim| Device::connect(platform.ready.gateway, sim).await.register("").await;
    register("13900000023").await.expect("registered");
    let _halted = Halted::all_of(&database);
    // asks on the connection that the first one used, and then on another
    register("13900000024").await.expect("registered");
    platform.terminate();
    let status = wait_for("the end", WITHIN, || platform.ended());
    assert!(status.success(), "{status}");
}
