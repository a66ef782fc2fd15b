//! Another company's rows are not found, whatever is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use db::testing::TestDb;
use db::*;
use model::{Channel, Companies, Scope};

use crate::support::{at, report};

macro_rules! not_found {
    ($asked:expr) => {
        let answer = $asked.await;
        assert!(matches!(answer, Err(DbError::NotFound)), "{}: {:?}", stringify!($asked), answer.err());
    };
}

#[tokio::test]
async fn another_companys_rows_are_not_found() {
    let test = TestDb::new().await;
    let db = test.db();
    let all = Scope::platform();
    let company = async |name: &str| {
        let new = NewCompany { parent_id: ROOT_COMPANY, name: name.into() };
        db.create_company(&all, new).await.expect("made").id
    };
    let (mine, theirs) = (company("mine").await, company("theirs").await);
    let me = Scope { account: None, companies: Companies::Of(Arc::new(BTreeSet::from([mine]))) };
    let role = NewRole { company_id: theirs, name: "r".into(), permissions: BTreeSet::new() };
    let role = db.create_role(&all, role).await.expect("made").id;
    let account = NewAccount {
        company_id: theirs,
        role_id: role,
        name: "them".into(),
        password_hash: "h".into(),
        md5_hash: "m".into(),
        must_change_password: false,
        enabled: true,
        expires_at: None,
    };
    let account = db.create_account(&all, account).await.expect("made").id;
    let vehicle = NewVehicle { company_id: theirs, plate: "B 1".into(), plate_colour: 1 };
    let vehicle = db.create_vehicle(&all, vehicle).await.expect("made").id;
    let sim: model::Sim = "500".parse().expect("a SIM");
    let new = NewTerminal { sim: sim.clone(), device_no: None, vehicle_id: Some(vehicle), company_id: None };
    let terminal = db.create_terminal(&all, new.clone()).await.expect("made").id;
    let told = db.store_reports(vec![report(terminal, Some(at(0)), 1, 1)]).await.expect("stored").alarms;
    let alarm = told[0].1.id;
    assert!(db.alarm(&all, alarm).await.is_ok());

    let (page, channel) = (Page::default(), Channel::new(1).expect("a channel"));
    not_found!(db.company(&me, theirs));
    not_found!(db.change_company(&me, theirs, CompanyChange::default()));
    not_found!(db.delete_company(&me, theirs));
    not_found!(db.role(&me, role));
    not_found!(db.change_role(&me, role, RoleChange::default()));
    not_found!(db.delete_role(&me, role));
    not_found!(db.account(&me, account));
    not_found!(db.change_account(&me, account, AccountChange::default()));
    not_found!(db.set_password(&me, account, "h".into(), "m".into(), false));
    not_found!(db.delete_account(&me, account));
    not_found!(db.vehicle(&me, vehicle));
    not_found!(db.change_vehicle(&me, vehicle, VehicleChange::default()));
    not_found!(db.delete_vehicle(&me, vehicle));
    not_found!(db.terminal(&me, terminal));
    not_found!(db.terminal_by_device_no(&me, "500"));
    not_found!(db.change_terminal(&me, terminal, TerminalChange::default()));
    not_found!(db.delete_terminal(&me, terminal));
    not_found!(db.create_terminal(&me, new));
    not_found!(db.channels(&me, terminal));
    not_found!(db.rename_channel(&me, terminal, channel, "n".into()));
    not_found!(db.latest_position(&me, terminal));
    not_found!(db.track_between(&me, Track::Vehicle(vehicle), at(0), at(1), &page));
    not_found!(db.track_between(&me, Track::Terminal(terminal), at(0), at(1), &page));
    not_found!(db.alarm(&me, alarm));
    not_found!(db.handle_alarm(&me, alarm, "n".into()));
    not_found!(db.unhandle_alarm(&me, alarm));
    not_found!(db.reject_terminal(&me, &sim));
    not_found!(db.record_drain(&me, "gw1", true));
    assert_eq!(db.companies(&me, &page).await.expect("listed").items.len(), 1, "my own");
    assert!(db.roles(&me, &page).await.expect("listed").items.is_empty());
    assert!(db.accounts(&me, &page).await.expect("listed").items.is_empty());
    assert!(db.vehicles(&me, &VehicleQuery::default(), &page).await.expect("listed").items.is_empty());
    assert!(db.terminals(&me, &page).await.expect("listed").items.is_empty());
    assert!(db.latest_positions(&me, Some(theirs), &page).await.expect("listed").items.is_empty());
    assert!(db.alarms(&me, &AlarmQuery::default(), &page).await.expect("listed").items.is_empty());
    assert!(db.pending_terminals(&me, &page).await.expect("listed").items.is_empty());
    assert!(db.changes(&me, &page).await.expect("listed").items.is_empty());
    let life = NodeLife { node: "gw1".into(), incarnation: 1 };
    assert!(db.node_happened(1, &life, NodeEventKind::Joined, "").await.expect("written"));
    assert!(db.node_events(&me, None, &page).await.expect("listed").items.is_empty());

    let handled = db.handle_alarm(&all, alarm, "seen".into()).await.expect("handled");
    assert_eq!(handled.handled.map(|handled| handled.note).as_deref(), Some("seen"));
    let conflict = db.delete_vehicle(&all, vehicle).await;
    assert!(matches!(&conflict, Err(DbError::Conflict(what)) if what.contains("500")), "{conflict:?}");
    let conflict = db.delete_company(&all, theirs).await;
    assert!(matches!(&conflict, Err(DbError::Conflict(what)) if what.contains("vehicles")), "{conflict:?}");
}
