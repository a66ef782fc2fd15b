//! Accounts, logins, admission.

use chrono::{TimeDelta, Utc};
use db::testing::TestDb;
use db::{Approval, DbError, Page, ROOT_COMPANY, Registration, Rotation};
use model::{Permission, Scope};
use uuid::Uuid;

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
    test.db().open_login(admin, family, [1; 32], later).await.expect("opened");
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

    test.db().open_jsession(admin, [7; 32], later).await.expect("opened");
    assert_eq!(test.db().jsession([7; 32], now, later).await.expect("asked"), Some(admin));
    assert_eq!(test.db().jsession([7; 32], later, later).await.expect("asked"), None, "lapsed");
    test.db().set_password(&Scope::platform(), admin, "h".into(), "m".into(), false).await.expect("set");
    assert_eq!(
        test.db().jsession([7; 32], now, later).await.expect("asked"),
        None,
        "a new password ends logins"
    );
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
