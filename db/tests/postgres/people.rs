//! Accounts, logins, admission.

use chrono::{TimeDelta, Utc};
use db::testing::TestDb;
use db::{Approval, DbError, NewPassword, Page, ROOT_COMPANY, Registration, Rotation};
use model::{Permission, Scope};
use uuid::Uuid;

use crate::support::{at, count};

async fn first(test: &TestDb) -> model::AccountId {
    assert!(test.db().create_first_account("admin", "hash".into(), "md5".into(), true).await.expect("made"));
    assert!(
        !test.db().create_first_account("other", "hash".into(), "md5".into(), true).await.expect("asked")
    );
    test.db().credentials("ADMIN").await.expect("asked").expect("there").account.id
}

#[tokio::test]
async fn the_first_account_may_do_everything_and_stays() {
    let test = TestDb::new().await;
    let admin = first(&test).await;
    let rights = test.db().rights(admin).await.expect("asked").expect("there");
    assert_eq!(rights.permissions, Permission::ALL.into_iter().collect());
    assert!(rights.companies.contains(&ROOT_COMPANY));
    let refused = test.db().delete_account(&Scope::platform(), admin).await;
    assert!(matches!(refused, Err(DbError::Conflict(_))), "{refused:?}");
    assert!(test.db().credentials("no\0body").await.expect("asked").is_none());
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_its_login() {
    let test = TestDb::new().await;
    let admin = first(&test).await;
    let (now, later) = (Utc::now(), Utc::now() + TimeDelta::hours(1));
    let family = Uuid::new_v4();
    test.db().open_login(admin, "hash".into(), family, [1; 32], later).await.expect("opened");
    let rotate = async |from: u8, to: u8| {
        test.db().rotate_login(family, [from; 32], [to; 32], now, later).await.expect("asked")
    };
    assert_eq!(rotate(1, 2).await, Rotation::Rotated);
    assert_eq!(rotate(1, 2).await, Rotation::Rotated, "asked again: the answer was lost");
    assert_eq!(test.db().login_holder(family, now).await.expect("asked"), Some(admin));
    assert_eq!(test.db().login_holder(family, later).await.expect("asked"), None, "lapsed");
    for token in 2..40 {
        assert_eq!(rotate(token, token + 1).await, Rotation::Rotated);
    }
    assert_eq!(rotate(1, 99).await, Rotation::Reused, "however many came after it");
    assert_eq!(rotate(40, 99).await, Rotation::Over, "the thief's is gone too");
    assert_eq!(test.db().login_holder(family, now).await.expect("asked"), None);

    test.db().open_opaque_login(admin, "hash".into(), [7; 32], later).await.expect("opened");
    assert_eq!(test.db().opaque_login_holder([7; 32], now, later).await.expect("asked"), Some(admin));
    assert_eq!(test.db().opaque_login_holder([7; 32], later, later).await.expect("asked"), None, "lapsed");
    test.db().set_password(&Scope::platform(), admin, "h".into(), "m".into(), false).await.expect("set");
    assert_eq!(
        test.db().opaque_login_holder([7; 32], now, later).await.expect("asked"),
        None,
        "a new password ends logins"
    );
}

#[tokio::test]
async fn a_login_under_way_with_the_old_password_does_not_outlive_its_change() {
    let test = TestDb::new().await;
    let admin = first(&test).await;
    let (db, scope, later) = (test.db(), Scope::platform(), Utc::now() + TimeDelta::hours(1));
    let new = |hash: &str| NewPassword { password_hash: hash.into(), md5_hash: format!("{hash} md5") };
    let changed = db.change_password(&scope, admin, "hash".into(), new("second")).await;
    assert!(changed.expect("asked"));
    // Their passwords were compared before the change.
    let login = db.open_login(admin, "hash".into(), Uuid::new_v4(), [1; 32], later).await;
    assert!(matches!(login, Err(DbError::NotFound)), "{login:?}");
    let opaque = db.open_opaque_login(admin, "hash".into(), [2; 32], later).await;
    assert!(matches!(opaque, Err(DbError::NotFound)), "{opaque:?}");
    db.open_login(admin, "second".into(), Uuid::new_v4(), [3; 32], later).await.expect("opened");
    let changed = db.change_password(&scope, admin, "hash".into(), new("third")).await;
    assert!(!changed.expect("asked"), "only one of two changes at the same time");
    let credentials = db.credentials("admin").await.expect("asked").expect("there");
    assert_eq!((credentials.password_hash.as_str(), credentials.md5_hash.as_str()), ("second", "second md5"));
    assert_eq!(count(&test, "login"), 1, "what was not changed ends nothing");
    db.set_password(&scope, admin, "fourth".into(), "m".into(), false).await.expect("set");
    let login = db.open_login(admin, "second".into(), Uuid::new_v4(), [4; 32], later).await;
    assert!(matches!(login, Err(DbError::NotFound)), "{login:?}");
    assert_eq!(count(&test, "login"), 0);
}

#[tokio::test]
async fn an_opaque_login_is_extended_by_a_minute_or_not_at_all() {
    let test = TestDb::new().await;
    let admin = first(&test).await;
    let (now, end) = (at(0), at(3_600));
    test.db().open_opaque_login(admin, "hash".into(), [7; 32], end).await.expect("opened");
    let lasts = async |seconds: i64| {
        let until = end + TimeDelta::seconds(seconds);
        assert_eq!(test.db().opaque_login_holder([7; 32], now, until).await.expect("asked"), Some(admin));
    };
    let until = |seconds: i64| {
        let end = end + TimeDelta::seconds(seconds);
        count(&test, &format!("opaque_login WHERE expires_at = '{}'", end.to_rfc3339()))
    };
    lasts(59).await;
    assert_eq!(until(0), 1, "a call every few seconds stores nothing");
    lasts(60).await;
    assert_eq!(until(60), 1);
    lasts(-600).await;
    assert_eq!(until(60), 1, "and nothing makes it shorter");
}

#[tokio::test]
async fn a_pending_terminal_is_approved_once() {
    let test = TestDb::new().await;
    let sim = "13900000001".parse().expect("a SIM");
    let registration =
        Registration { plate: "沪A\0 12345".into(), plate_colour: 2, ..Registration::default() };
    test.db().note_pending(&sim, &registration, "192.0.2.7:9").await.expect("noted");
    test.db().note_pending(&sim, &registration, "192.0.2.7:9").await.expect("noted");
    let pending =
        test.db().pending_terminals(&Scope::platform(), &Page::default()).await.expect("listed").items;
    assert_eq!((pending.len(), pending[0].attempts), (1, 2));
    let approval = Approval { company_id: ROOT_COMPANY, vehicle_id: None, plate: None };
    let terminal =
        test.db().approve_terminal(&Scope::platform(), &sim, approval.clone()).await.expect("approved");
    assert_eq!((terminal.device_no.as_str(), terminal.channels.len()), ("13900000001", 4));
    let vehicle =
        test.db().vehicle(&Scope::platform(), terminal.vehicle_id.expect("one")).await.expect("there");
    assert_eq!(vehicle.plate, "沪A 12345");
    assert_eq!(vehicle.terminals, std::slice::from_ref(&terminal));
    let again = test.db().approve_terminal(&Scope::platform(), &sim, approval).await;
    assert!(matches!(again, Err(DbError::NotFound)), "{again:?}");

    // open admission: the same plate again is taken, so the device number stands in
    let other = "13900000002".parse().expect("a SIM");
    let admitted = test.db().admit(&other, &registration).await.expect("admitted");
    assert_eq!(test.db().admit(&other, &registration).await.expect("known").id, admitted.id);
    let vehicle =
        test.db().vehicle(&Scope::platform(), admitted.vehicle_id.expect("one")).await.expect("there");
    assert_eq!(vehicle.plate, "13900000002");
    test.db().set_channels(admitted.id, 2).await.expect("set");
    assert_eq!(test.db().channels(&Scope::platform(), admitted.id).await.expect("listed").len(), 2);
}
