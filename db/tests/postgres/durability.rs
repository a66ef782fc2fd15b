//! What acknowledged data rests on: commits that are not taken for what they are not, safe settings.

use db::private::{PrivateServer, PrivateSettings};
use db::testing::{TestDb, TestFolder};
use db::{Db, DbError, DbSettings, Outcome, PoolSettings};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};

use crate::support::{at, report, until};

/// A server of the test's own, for settings that would disturb others.
async fn server() -> (PrivateServer, TestFolder) {
    let folder = TestFolder::new();
    let server = PrivateServer::start(PrivateSettings::new(folder.path())).await.expect("starts");
    (server, folder)
}

fn sql(conninfo: &str, statements: &[&str]) {
    let mut conn = PgConnection::establish(conninfo).expect("connects");
    for statement in statements {
        conn.batch_execute(statement).expect("executed");
    }
}

/// What a `SHOW` says on a fresh connection.
fn says(conninfo: &str, show: &str) -> String {
    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = Text)]
        fsync: String,
    }
    let mut conn = PgConnection::establish(conninfo).expect("connects");
    sql_query(show).get_result::<Setting>(&mut conn).expect("told").fsync
}

/// Returns when commits wait for a standby: a probe's is seen to. (Which of the server's processes has read its
/// configuration already is not to be asked; the checkpointer is the one that counts.)
async fn commits_wait(conninfo: &str) {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        waiting: i64,
    }
    until("a commit waits for the standby", async || {
        let probe = conninfo.to_owned();
        // it ends when the setting is taken back
        std::thread::spawn(move || {
            let probe = PgConnection::establish(&probe);
            let _ =
                probe.map(|mut conn| conn.batch_execute("SELECT pg_logical_emit_message(true, 'probe', '')"));
        });
        let mut conn = PgConnection::establish(conninfo).expect("connects");
        let waiting: Waiting =
            sql_query("SELECT count(*) AS waiting FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
                .get_result(&mut conn)
                .expect("told");
        waiting.waiting > 0
    })
    .await;
}

#[tokio::test]
async fn cancelled_commit_taken_for_commit() {
    let (server, _folder) = server().await;
    let conninfo = server.conninfo().to_owned();
    db::migrate(&conninfo).await.expect("migrated");
    let write = PoolSettings { query_timeout_ms: 1_500, ..PoolSettings::default() };
    let settings = DbSettings { write, ..DbSettings::default() };
    let db = Db::connect(&conninfo, settings).await.expect("connects");
    let sim = "300".parse().expect("a SIM");
    let t = db.admit(&sim, &db::Registration::default()).await.expect("admitted").id;
    let reports = vec![report(t, Some(at(0)), 1, 1), report(t, Some(at(1)), 0, 2)];
    // days are made before: their commits are not what is tested
    db.maintain(at(0)).await.expect("maintained");

    // as with a standby that is gone: every commit waits, none fails
    sql(&conninfo, &["ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"]);
    commits_wait(&conninfo).await;
    let outcome = db.store_reports(reports.clone()).await;
    assert!(matches!(outcome, Err(DbError::OutcomeUnknown)), "{outcome:?}");
    sql(&conninfo, &["ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"]);
    let again = db.store_reports(reports).await.expect("stored");
    assert_eq!(again.outcomes, [Outcome::Duplicate, Outcome::Duplicate], "the abandoned commit came through");
    let alarms = db.alarms(&model::Scope::platform(), &db::AlarmQuery::default(), &db::Page::default()).await;
    assert_eq!(alarms.expect("listed").items.len(), 1);
    drop(db);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_statement_given_up_before_its_commit_leaves_nothing_behind() {
    let test = TestDb::with(DbSettings {
        write: PoolSettings { query_timeout_ms: 500, ..PoolSettings::default() },
        ..DbSettings::default()
    })
    .await;
    let t = crate::support::terminal(&test, "301").await;
    test.db().maintain(at(0)).await.expect("maintained");
    let mut holder = test.connection();
    holder.batch_execute("BEGIN; SELECT FROM latest_position FOR UPDATE").expect("locked");
    let outcome = test.db().store_reports(vec![report(t, Some(at(0)), 0, 1)]).await;
    assert!(matches!(outcome, Err(DbError::Busy(_))), "{outcome:?}");
    holder.batch_execute("ROLLBACK").expect("released");
    assert_eq!(crate::support::count(&test, "position"), 0);
    let stored = test.db().store_reports(vec![report(t, Some(at(0)), 0, 1)]).await.expect("stored");
    assert_eq!(stored.outcomes, [Outcome::Inserted]);
}

#[tokio::test]
async fn start_up_refuses_fsync_off_and_synchronous_commit_off() {
    let (server, _folder) = server().await;
    let conninfo = server.conninfo().to_owned();
    db::migrate(&conninfo).await.expect("migrated");
    sql(&conninfo, &["ALTER DATABASE motorcade SET synchronous_commit = off"]);
    let refused = Db::connect(&conninfo, DbSettings::default()).await;
    assert!(
        matches!(&refused, Err(DbError::Unsafe(why)) if why == "synchronous_commit=off"),
        "{:?}",
        refused.err()
    );
    sql(
        &conninfo,
        &[
            "ALTER DATABASE motorcade RESET synchronous_commit",
            "ALTER SYSTEM SET fsync = off",
            "SELECT pg_reload_conf()",
        ],
    );
    until("new connections run without fsync", async || says(&conninfo, "SHOW fsync") == "off").await;
    let refused = Db::connect(&conninfo, DbSettings::default()).await;
    assert!(matches!(&refused, Err(DbError::Unsafe(why)) if why == "fsync=off"), "{:?}", refused.err());
    server.stop().await.expect("stops");
}
