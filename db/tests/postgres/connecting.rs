//! Connections to a server that does not do its part.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use db::testing::TestDb;
use db::{Db, DbError, DbSettings, PoolSettings};

use crate::support::{count, terminal, until};

/// A way to the server that passes everything on but, while it `stalls`, nothing from the moment at which a
/// connection is set up for its pool.
fn stalling(conninfo: &str) -> (String, Arc<AtomicBool>) {
    let folder = conninfo.split('\'').nth(1).expect("the socket's folder is quoted").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let stalls = Arc::new(AtomicBool::new(false));
    let state = stalls.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let far = UnixStream::connect(format!("{folder}/.s.PGSQL.5432")).expect("the server is there");
            let (mut up, mut back) = (far.try_clone().expect("cloned"), near.try_clone().expect("cloned"));
            let state = state.clone();
            let (mut near, mut far) = (near, far);
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut far, &mut back);
                let _ = back.shutdown(Shutdown::Both);
            });
            near.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
            std::thread::spawn(move || {
                let (mut bytes, mut swallowed) = ([0; 8_192], false);
                loop {
                    let count = match near.read(&mut bytes) {
                        Ok(0) => break,
                        Ok(count) => count,
                        // one that was held up is cut when the server does its part again
                        Err(_) if swallowed && !state.load(Ordering::SeqCst) => break,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                        Err(_) => break,
                    };
                    let sets_up = bytes[..count].windows(16).any(|window| window == b"application_name");
                    swallowed |= sets_up && state.load(Ordering::SeqCst);
                    if !swallowed && up.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
                let _ = up.shutdown(Shutdown::Both);
                let _ = near.shutdown(Shutdown::Both);
            });
        }
    });
    let rest: Vec<&str> = conninfo.split_whitespace().filter(|word| word.starts_with(['u', 'd'])).collect();
    (format!("host=127.0.0.1 port={port} {}", rest.join(" ")), stalls)
}

#[tokio::test]
async fn a_connection_that_is_never_set_up_is_given_up() {
    let test = TestDb::new().await;
    let (conninfo, stalls) = stalling(test.conninfo());
    let pool = PoolSettings { connections: 1, wait_timeout_ms: 300, ..PoolSettings::default() };
    let settings =
        DbSettings { write: pool, control: pool, connect_timeout_ms: 300, ..DbSettings::default() };
    let db = Db::connect(&conninfo, settings).await.expect("connects");
    stalls.store(true, Ordering::SeqCst);
    // those that hang are bounded: then none is begun, and it is said so
    until("no more connections are set up", async || match db.credentials("nobody").await {
        Err(DbError::Unavailable(why)) => why.contains("too many connections hang"),
        Err(DbError::Busy(_)) => false,
        other => panic!("{:?}", other.err()),
    })
    .await;
    assert!(!db.healthy().await);
    stalls.store(false, Ordering::SeqCst);
    until("it is connected", async || matches!(db.credentials("nobody").await, Ok(None))).await;
}

#[tokio::test]
async fn opening_ends_where_the_server_is_silent_and_succeeds_when_it_speaks() {
    let test = TestDb::new().await;
    let (conninfo, stalls) = stalling(test.conninfo());
    let control = PoolSettings { query_timeout_ms: 300, ..PoolSettings::default() };
    let settings = DbSettings { control, connect_timeout_ms: 300, ..DbSettings::default() };
    let db = Db::closed(&conninfo, settings).expect("made");
    stalls.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let opened = db.open().await;
        assert!(matches!(opened, Err(DbError::Unavailable(_))), "{opened:?}");
    }
    let opened = db.open().await;
    assert!(matches!(opened, Err(DbError::Busy(_))), "a third one would hang too: {opened:?}");
    stalls.store(false, Ordering::SeqCst);
    until("it is open", async || db.open().await.is_ok()).await;
}

#[tokio::test]
async fn a_handle_works_once_its_database_was_found_fit() {
    let test = TestDb::new().await;
    let db = Db::closed(test.conninfo(), DbSettings::default()).expect("made");
    assert!(!db.healthy().await, "nobody looked yet whether its tables are there");
    assert!(matches!(db.credentials("nobody").await, Err(DbError::Unavailable(_))));
    assert_eq!(db.open().await.expect("opened"), Vec::<String>::new());
    assert!(db.healthy().await);
    let away = Db::closed("host=/nowhere dbname=nothing", DbSettings::default()).expect("made");
    for _ in 0..2 {
        assert!(matches!(away.open().await, Err(DbError::Unavailable(_))));
    }
}

#[tokio::test]
async fn a_fleet_that_comes_back_at_once_keeps_no_person_waiting() {
    // as slow a machine as may be: what is looked at is who waits for whom
    let links = PoolSettings { connections: 2, wait_timeout_ms: 60_000, query_timeout_ms: 60_000 };
    let test = TestDb::with(DbSettings { links, ..DbSettings::default() }).await;
    let t = terminal(&test, "600").await;
    let held = test.hold("SELECT FROM terminal FOR UPDATE");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let db = test.db().clone();
            tokio::spawn(async move { db.sessions_opened("node", &[(t, "192.0.2.1:1".to_owned())]).await })
        })
        .collect();
    let waits = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("every connection for sessions waits", async || count(&test, waits) == 2).await;
    assert!(test.db().credentials("nobody").await.expect("answered meanwhile").is_none());
    drop(held);
    let mut epochs = Vec::new();
    for opened in opening {
        epochs.extend(opened.await.expect("no panic").expect("opened").values().map(|session| session.epoch));
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>(), "each link has an epoch of its own");
}
