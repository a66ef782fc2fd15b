//! `serve` begins in order although its database is out of sorts just then.

mod support;

use std::path::Path;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use support::{Options, PASSWORD, Platform};

/// How long a condition may take.
const WITHIN: Duration = Duration::from_secs(60);

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
