//! The private server through the accidents of its life.

use db::private::{PrivateError, PrivateServer, PrivateSettings};
use db::testing::{TestDb, TestFolder};
use db::{BackupError, Db, DbSettings};
use model::Scope;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{at, report, terminal, until};

#[tokio::test]
async fn a_survivor_is_adopted_and_a_dead_one_is_started_again() {
    let folder = TestFolder::new();
    let settings = PrivateSettings::new(folder.path());
    let server = PrivateServer::start(settings.clone()).await.expect("starts");
    let pid = server.pid().expect("it runs");
    let second = PrivateServer::start(settings.clone()).await;
    assert!(matches!(second, Err(PrivateError::InUse(_))), "two of us on one folder");
    // dropped, not stopped: what is left is what a kill -9 of ours leaves
    drop(server);
    let mut adopted = None;
    until("the lock is free", async || {
        adopted = PrivateServer::start(settings.clone()).await.ok();
        adopted.is_some()
    })
    .await;
    let adopted = adopted.expect("adopted");
    assert_eq!(adopted.pid(), Some(pid), "the same process goes on");

    db::migrate(adopted.conninfo()).await.expect("migrated");
    let db = Db::connect(adopted.conninfo(), DbSettings::default()).await.expect("connects");
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("killed");
    until("another server runs", async || adopted.pid().is_some_and(|now| now != pid)).await;
    until("the pools find it", async || db.healthy().await).await;
    drop(db);
    adopted.stop().await.expect("stops");
    assert!(!folder.path().join("postgres/pgdata/postmaster.pid").exists(), "a clean shutdown");

    // a pid file left by a crash, whose number is another program's by now
    std::fs::write(folder.path().join("postgres/pgdata/postmaster.pid"), format!("{}\n", std::process::id()))
        .expect("written");
    let server = PrivateServer::start(settings).await.expect("starts over a stale pid file");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn another_major_version_is_told_apart() {
    let folder = TestFolder::new();
    let settings = PrivateSettings::new(folder.path());
    PrivateServer::start(settings.clone()).await.expect("starts").stop().await.expect("stops");
    std::fs::write(folder.path().join("postgres/pgdata/PG_VERSION"), "9\n").expect("written");
    let refused = PrivateServer::start(settings).await;
    assert!(matches!(refused, Err(PrivateError::VersionMismatch { .. })), "{:?}", refused.err());
}

#[tokio::test]
async fn a_data_folder_with_a_long_path_has_its_socket_elsewhere() {
    let folder = TestFolder::new();
    let deep = folder.path().join("a-data-folder-whose-name-alone-is-long".repeat(3));
    let server = PrivateServer::start(PrivateSettings::new(&deep)).await.expect("starts");
    assert!(!server.conninfo().contains("a-data-folder"), "{}", server.conninfo());
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn backup_then_restore_into_an_empty_folder() {
    let test = TestDb::new().await;
    let t = terminal(&test, "400").await;
    test.db().store_reports(vec![report(t, Some(at(0)), 1, 1), report(t, None, 0, 2)]).await.expect("stored");
    let folder = TestFolder::new();
    let to = folder.path().join("backup");
    let manifest = db::backup(test.conninfo(), &to, |_| Ok(())).await.expect("backed up");
    assert!(matches!(db::backup(test.conninfo(), &to, |_| Ok(())).await, Err(BackupError::NotEmpty(_))));
    assert!(matches!(db::restore_into(test.conninfo(), &to).await, Err(BackupError::NotEmpty(_))));

    let settings = PrivateSettings::new(folder.path().join("data"));
    assert_eq!(PrivateServer::restore(&to, settings.clone()).await.expect("restored"), manifest);
    assert!(matches!(PrivateServer::restore(&to, settings.clone()).await, Err(BackupError::NotEmpty(_))));
    let server = PrivateServer::start(settings).await.expect("starts");
    assert_eq!(db::migrate(server.conninfo()).await.expect("migrated"), Vec::<String>::new());
    let db = Db::connect(server.conninfo(), DbSettings::default()).await.expect("connects");
    let latest = db.latest_position(&Scope::platform(), t).await.expect("known");
    assert_eq!(latest, test.db().latest_position(&Scope::platform(), t).await.expect("known"));
    // days, keys and counters came along
    let again = db.store_reports(vec![report(t, Some(at(0)), 1, 1), report(t, Some(at(9)), 0, 3)]).await;
    assert_eq!(again.expect("stored").outcomes, [db::Outcome::Duplicate, db::Outcome::Inserted]);
    drop(db);
    server.stop().await.expect("stops");

    std::fs::write(to.join("motorcade.dump"), b"torn").expect("written");
    let torn = PrivateServer::restore(&to, PrivateSettings::new(folder.path().join("other"))).await;
    assert!(matches!(torn, Err(BackupError::NotABackup { .. })), "{:?}", torn.err());
}
