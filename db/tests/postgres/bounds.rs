//! What is fed from outside stays within its bound: the oldest gives way.

use chrono::{TimeDelta, Utc};
use db::testing::TestDb;
use db::{Db, DbError, Page, Registration, Rotation};
use diesel::connection::SimpleConnection;
use diesel::{RunQueryDsl, sql_query};
use model::Scope;
use uuid::Uuid;

use crate::support::{at, count};

#[tokio::test]
async fn quarantine_is_bounded() {
    let test = TestDb::new().await;
    let max = Db::QUARANTINE_ROWS_MAX;
    test.connection()
        .batch_execute(&format!(
            "INSERT INTO quarantine (terminal_id, body, body_hash, reason, received_at) \
             SELECT 1, '', n, 'test', now() FROM generate_series(1, {max} + 70) AS n"
        ))
        .expect("filled");
    let done = test.db().maintain(at(0)).await.expect("maintained");
    assert_eq!(done.quarantined_dropped, 70);
    assert_eq!(count(&test, "quarantine"), max);
    assert_eq!(count(&test, "quarantine WHERE body_hash <= 70"), 0, "the oldest went");
    assert_eq!(test.db().maintain(at(0)).await.expect("maintained").quarantined_dropped, 0);
}

#[tokio::test]
async fn pending_terminals_are_bounded() {
    let test = TestDb::new().await;
    let max = Db::PENDING_TERMINALS_MAX;
    test.connection()
        .batch_execute(&format!(
            "INSERT INTO pending_terminal (sim, province, city, maker, model, terminal_no, plate, plate_colour, peer, \
               last_seen_at) \
             SELECT n, 0, 0, '', '', '', '', 0, '', now() - interval '1 day' + n * interval '1 second' \
             FROM generate_series(1, {max}) AS n"
        ))
        .expect("filled");
    let sim = "13900000001".parse().expect("a SIM");
    test.db().note_pending(&sim, &Registration::default(), "192.0.2.1").await.expect("noted");
    assert_eq!(count(&test, "pending_terminal"), max);
    assert_eq!(count(&test, "pending_terminal WHERE sim = '1'"), 0, "the one that asked longest ago went");
    let scope = Scope::platform();
    let first = test.db().pending_terminals(&scope, &Page::largest()).await.expect("listed");
    assert_eq!(first.items[0].sim, sim);
    let second = Page::largest().at(first.next_cursor.expect("there are more"));
    let second = test.db().pending_terminals(&scope, &second).await.expect("listed").items;
    assert_eq!(
        second[0].last_seen_at,
        first.items[first.items.len() - 1].last_seen_at - TimeDelta::seconds(1)
    );
}

#[tokio::test]
async fn log_ins_of_an_account_are_bounded() {
    let test = TestDb::new().await;
    test.db().create_first_account("admin", "hash".into(), "md5".into(), false).await.expect("made");
    let admin = test.db().credentials("admin").await.expect("asked").expect("there").account.id;
    let later = Utc::now() + TimeDelta::hours(1);
    let token = |number: i64| {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&number.to_be_bytes());
        token
    };
    let mut logins = Vec::new();
    let hash = || String::from("hash");
    for number in 0..Db::LOGINS_PER_ACCOUNT_MAX {
        let login = Uuid::new_v4();
        test.db().open_login(admin, hash(), login, token(number), later).await.expect("opened");
        logins.push(login);
        test.db().open_opaque_login(admin, hash(), token(number), later).await.expect("opened");
    }
    // The oldest of all is in use.
    let used = later + TimeDelta::minutes(10);
    let rotated = test.db().rotate_login(logins[0], token(0), token(-1), Utc::now(), used).await;
    assert_eq!(rotated.expect("asked"), Rotation::Rotated);
    assert_eq!(test.db().opaque_login_holder(token(0), Utc::now(), used).await.expect("asked"), Some(admin));
    // Opened by somebody whose clock is late.
    let (number, early) = (Db::LOGINS_PER_ACCOUNT_MAX, later - TimeDelta::minutes(10));
    logins.push(Uuid::new_v4());
    let last = logins[logins.len() - 1];
    test.db().open_login(admin, hash(), last, token(number), early).await.expect("opened");
    test.db().open_opaque_login(admin, hash(), token(number), early).await.expect("opened");
    assert_eq!(count(&test, "login"), Db::LOGINS_PER_ACCOUNT_MAX);
    assert_eq!(count(&test, "opaque_login"), Db::LOGINS_PER_ACCOUNT_MAX);
    let now = Utc::now();
    for (login, lasts) in [(logins[0], true), (logins[1], false), (logins[2], true), (last, true)] {
        let holder = test.db().login_holder(login, now).await.expect("asked");
        assert_eq!(holder.is_some(), lasts, "the one that was longest without use went");
    }
    for (opaque, lasts) in [(0, true), (1, false), (2, true), (number, true)] {
        let holder = test.db().opaque_login_holder(token(opaque), now, later).await.expect("asked");
        assert_eq!(holder.is_some(), lasts, "{opaque}");
    }
}

#[tokio::test]
async fn what_contradicts_the_tables_is_a_conflict_and_a_time_beyond_them_is_invalid() {
    let test = TestDb::new().await;
    let fails = |statement: &str| {
        DbError::from(sql_query(statement).execute(&mut test.connection()).expect_err("refused"))
    };
    let gone = fails("INSERT INTO vehicle (company_id, plate) VALUES (999, 'A 1')");
    assert!(matches!(&gone, DbError::Conflict(why) if why.contains("company")), "{gone:?}");
    let time = fails("SELECT timestamptz '4714-11-24 00:00:00+00 BC' - interval '1 day'");
    assert!(matches!(time, DbError::Invalid(_)), "{time:?}");
}
