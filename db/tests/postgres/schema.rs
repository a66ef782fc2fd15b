//! Migrations: up, down and up again is the same schema; two starters do not race.

use db::testing::TestDb;
use db::{Db, DbError, DbSettings};
use diesel::connection::SimpleConnection;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

/// Every column, index and constraint, as text.
fn schema(test: &TestDb) -> Vec<Option<String>> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Nullable<Text>)]
        line: Option<String>,
    }
    let lines: Vec<Line> = sql_query(
        "SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, \
           pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)) AS line \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
         WHERE c.relnamespace = 'public'::regnamespace \
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
           WHERE connamespace = 'public'::regnamespace ORDER BY 1",
    )
    .load(&mut test.connection())
    .expect("read");
    lines.into_iter().map(|line| line.line).collect()
}

#[tokio::test]
async fn up_down_up_is_the_same_schema() {
    let test = TestDb::new().await;
    let before = schema(&test);
    test.db().maintain(chrono::Utc::now()).await.expect("days made");
    let down = db::revert_all(test.conninfo()).await.expect("reverted");
    assert!(!down.is_empty());
    assert!(!schema(&test).iter().flatten().any(|line| line.starts_with("position")));
    let (one, other) = tokio::join!(db::migrate(test.conninfo()), db::migrate(test.conninfo()));
    let ran = one.expect("migrated").len() + other.expect("migrated").len();
    assert_eq!(ran, down.len(), "each migration ran once");
    assert_eq!(schema(&test), before);
    assert_eq!(db::schema_version(test.conninfo()).await.expect("read").as_ref(), down.first());
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_away() {
    let test = TestDb::new().await;
    let read_only = |value: &str| {
        let mut conn = test.connection();
        conn.batch_execute("SET default_transaction_read_only = off")?;
        conn.batch_execute(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {value}', \
             current_database()); END $$"
        ))
    };
    read_only("on").expect("set");
    let db = Db::closed(test.conninfo(), DbSettings::default()).expect("made");
    let opened = db.open().await;
    assert!(matches!(opened, Err(DbError::Unavailable(_))), "as a standby is, for a while: {opened:?}");
    read_only("off").expect("set");
    assert_eq!(db.open().await.expect("opened"), Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_that_finds_its_table_in_use_is_tried_again() {
    let test = TestDb::new().await;
    let before = schema(&test);
    // a table that somebody uses is changed by the first of these to be done again
    let undo = [
        include_str!("../../migrations/2026-11-22-000007_device_profiles/down.sql"),
        include_str!("../../migrations/2026-11-22-000006_nodes/down.sql"),
        include_str!("../../migrations/2026-11-22-000005_logins/down.sql"),
    ];
    for down in undo {
        test.connection()
            .batch_execute(&format!(
                "{down} DELETE FROM __diesel_schema_migrations \
                 WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
            ))
            .expect("undone");
    }
    let held = test.hold("LOCK TABLE jsession IN ROW EXCLUSIVE MODE");
    let migrated = db::migrate(test.conninfo()).await;
    assert!(matches!(migrated, Err(DbError::Busy(_))), "{migrated:?}");
    drop(held);
    assert_eq!(db::migrate(test.conninfo()).await.expect("migrated").len(), undo.len());
    assert_eq!(schema(&test), before);
}
