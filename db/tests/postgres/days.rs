//! Days of positions under load: who looks where, who waits for whom, what goes when it is old.

use db::testing::TestDb;
use db::{Db, DbError, DbSettings, Outcome};
use diesel::connection::SimpleConnection;
use model::{Report, TerminalId};

use crate::support::{at, count, report, terminal, until};

const DAY: i64 = 86_400;

/// Makes the days `0..days` of the trip.
async fn days(test: &TestDb, days: i64) {
    for day in (0..days).step_by(3) {
        test.db().maintain(at(day * DAY)).await.expect("maintained");
    }
}

/// A report that arrives when the trip of months is over.
fn late(terminal: TerminalId, second: i64, alarms: u64, salt: u32) -> Report {
    let mut report = report(terminal, Some(at(second)), alarms, salt);
    report.position.received_at = at(130 * DAY + i64::from(salt));
    report
}

/// Stores beside the test.
fn storing(db: &Db, reports: Vec<Report>) -> tokio::task::JoinHandle<Result<db::Stored, DbError>> {
    let db = db.clone();
    tokio::spawn(async move { db.store_reports(reports).await })
}

#[tokio::test]
async fn late_reports_touch_only_the_days_around_them() {
    let test = TestDb::new().await;
    let t = terminal(&test, "700").await;
    days(&test, 60).await;
    let track = (0..60_u32).map(|day| late(t, i64::from(day) * DAY, 0, day));
    test.db().store_reports(track.collect()).await.expect("stored");

    // whoever holds the alarms holds the batch up after it has looked around and inserted
    let mut holder = test.connection();
    holder.batch_execute("BEGIN; LOCK TABLE alarm IN ACCESS EXCLUSIVE MODE").expect("locked");
    let batch = [2, 30, 57].map(|day: u32| late(t, i64::from(day) * DAY + 60, 1, 1_000 + day));
    let storing = storing(test.db(), batch.into());
    let waits = "pg_locks WHERE NOT granted AND relation = 'alarm'::regclass";
    until("the batch waits for the alarms", async || count(&test, waits) == 1).await;
    let touched = count(
        &test,
        "pg_class WHERE relkind = 'r' AND relname ~ '^position_2' AND oid IN (SELECT relation FROM pg_locks \
         WHERE pid = (SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'alarm'::regclass))",
    );
    holder.batch_execute("ROLLBACK").expect("released");
    assert!((3..=9).contains(&touched), "{touched} days were locked for three late reports");
    let stored = storing.await.expect("no panic").expect("stored");
    assert_eq!(stored.alarms.len(), 6, "each begins and ends among its neighbours");
}

#[tokio::test]
async fn neighbours_are_found_however_far_they_are() {
    let test = TestDb::new().await;
    let t = terminal(&test, "701").await;
    days(&test, 120).await;
    // an alarm from day 0 until day 100, by two reports; then late ones between, ever nearer
    let ends = vec![late(t, 0, 1, 1), late(t, 100 * DAY, 0, 2)];
    test.db().store_reports(ends).await.expect("stored");
    for (salt, day) in (10..).zip([50, 20, 80, 19, 21, 20]) {
        let between = late(t, day * DAY + i64::from(salt), 1, salt);
        assert_eq!(
            test.db().store_reports(vec![between]).await.expect("stored").alarms,
            [],
            "it lasts already"
        );
    }
    let between = late(t, 60 * DAY, 0, 3);
    let told = test.db().store_reports(vec![between]).await.expect("stored").alarms;
    assert_eq!(told.len(), 3, "one ends there; another goes on from day 80 and ends: {told:?}");
    assert_eq!(count(&test, "alarm"), 2);
}

#[tokio::test]
async fn dropping_a_day_and_storing_do_not_wait_for_each_other_both_ways() {
    let test = TestDb::new().await;
    let t = terminal(&test, "702").await;
    days(&test, 3).await;
    let undated = report(t, None, 0, 1);
    test.db().store_reports(vec![undated.clone(), report(t, Some(at(60)), 0, 2)]).await.expect("stored");

    // what dropping a day locks, in its order: the parent, then the default partition
    let mut dropper = test.connection();
    dropper.batch_execute("BEGIN; LOCK TABLE ONLY position IN ACCESS EXCLUSIVE MODE").expect("locked");
    let storing = storing(test.db(), vec![undated, report(t, None, 1, 3), report(t, Some(at(30)), 1, 4)]);
    let waits = "pg_locks WHERE NOT granted AND relation = 'position'::regclass";
    until("the batch waits for the parent", async || count(&test, waits) == 1).await;
    dropper
        .batch_execute(
            "LOCK TABLE position_default IN ACCESS EXCLUSIVE MODE; DROP TABLE position_20260302; COMMIT",
        )
        .expect("no deadlock");
    let stored = storing.await.expect("no panic").expect("no deadlock");
    assert_eq!(stored.outcomes, [Outcome::Duplicate, Outcome::Inserted, Outcome::Inserted]);
}

#[tokio::test]
async fn reports_without_a_time_are_stored_while_a_day_waits_to_be_made() {
    let test = TestDb::new().await;
    let t = terminal(&test, "703").await;
    days(&test, 1).await;

    // as a backup does, for hours
    let mut backup = test.connection();
    backup.batch_execute("BEGIN; LOCK TABLE position_default IN ACCESS SHARE MODE").expect("locked");
    // and one that makes a day, but never tires
    let mut maker = test.connection();
    let making = std::thread::spawn(move || {
        maker.batch_execute("BEGIN; LOCK TABLE position_default IN ACCESS EXCLUSIVE MODE; ROLLBACK")
    });
    until("the day waits to be made", async || test.waiting("BEGIN; LOCK TABLE position_default") == 1).await;
    let stored = test.db().store_reports(vec![report(t, None, 0, 1)]).await.expect("stored");
    assert_eq!(stored.outcomes, [Outcome::Inserted]);
    assert_eq!(test.waiting("BEGIN; LOCK TABLE position_default"), 1, "without a wait for it");
    test.connection()
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks \
             WHERE NOT granted AND relation = 'position_default'::regclass",
        )
        .expect("ended");
    assert!(making.join().expect("no panic").is_err());
    // who really makes one gives up for now, so that whoever needs the default partition has it again
    let made = test.db().maintain(at(50 * DAY)).await;
    assert!(matches!(made, Err(DbError::Busy(_))), "{made:?}");
    let unmade = late(t, 50 * DAY, 0, 2);
    assert_eq!(test.db().store_reports(vec![unmade]).await.expect("stored").outcomes, [Outcome::Inserted]);
    backup.batch_execute("COMMIT").expect("ended");
    assert_eq!(count(&test, "position_default"), 1);
    assert_eq!(test.db().maintain(at(50 * DAY)).await.expect("maintained").days_made, 4);
    assert_eq!(count(&test, "position_default"), 0);
}

#[tokio::test]
async fn what_is_older_than_is_kept_goes() {
    let settings = DbSettings { retention_days: Some(10), ..DbSettings::default() };
    let test = TestDb::with(settings).await;
    let t = terminal(&test, "704").await;
    days(&test, 2).await;
    let mut undated = report(t, None, 0, 1);
    undated.position.received_at = at(0);
    // an alarm that ended, one that lasts; a report of a day without a partition
    let old = vec![
        undated,
        report(t, Some(at(0)), 0b11, 2),
        report(t, Some(at(9)), 0b10, 3),
        report(t, Some(at(-500 * DAY)), 0, 4),
    ];
    test.db().store_reports(old).await.expect("stored");
    assert_eq!((count(&test, "position"), count(&test, "alarm")), (4, 2));
    let kept = test.db().maintain(at(10 * DAY)).await.expect("maintained");
    assert_eq!((kept.days_dropped, kept.alarms_dropped), (1, 0), "day -1, and of day 0 nothing");
    assert_eq!(kept.positions_dropped, 1, "that of the year before last");
    let done = test.db().maintain(at(13 * DAY)).await.expect("maintained");
    assert_eq!((done.days_dropped, done.positions_dropped, done.alarms_dropped), (3, 1, 1));
    assert_eq!(count(&test, "position"), 0);
    assert_eq!(count(&test, "alarm WHERE end_at IS NULL"), 1, "what lasts stays");

    for days in [0, u32::MAX] {
        let settings = DbSettings { retention_days: Some(days), ..DbSettings::default() };
        assert!(matches!(Db::closed(test.conninfo(), settings), Err(DbError::Invalid(_))), "{days}");
    }
}

#[tokio::test]
async fn more_old_rows_than_one_statement_deletes_go_in_one_round() {
    let test = TestDb::new().await;
    test.connection()
        .batch_execute(
            "INSERT INTO audit (at, action, noun, key, detail) \
             SELECT '2020-01-01', 'made', 'vehicle', '', '{}' FROM generate_series(1, 50001)",
        )
        .expect("inserted");
    let recent = count(&test, "audit WHERE at > '2020-01-02'");
    let done = test.db().maintain(at(0)).await.expect("maintained");
    assert_eq!(done.changes_dropped, 50_001);
    assert_eq!(count(&test, "audit"), recent);
}
