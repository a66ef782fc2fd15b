//! The three admission settings: what an unknown terminal is told, what becomes of it, whether its link
//! stays.

use std::time::Duration;

use crate::support::{Device, World, location, wait_for_trouble};
use access::terminal::Admission;
use db::{Approval, Db, DbSettings, Page, PoolSettings, ROOT_COMPANY, VehicleQuery};
use gateway::Trouble;
use model::Scope;

const SIM: &str = "13900000006";

#[tokio::test(flavor = "multi_thread")]
async fn known_refuses_whom_nobody_entered_and_closes() {
    let world = World::new().await.admission(Admission::Known);
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.register("").await, Err(4));
    assert_eq!(device.authenticate("code").await, 1);
    device.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::RegistrationRefused, 1).await;
    wait_for_trouble(&gateway, Trouble::AuthenticationRefused, 1).await;

    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.register("").await, Err(4));
    device.assert_closed().await;
    let page = Page::default();
    let db = world.database.db();
    assert!(db.pending_terminals(&Scope::platform(), &page).await.expect("a list").items.is_empty());

    world.terminal(SIM).await;
    Device::online(gateway.addr(), SIM).await.report(&location(chrono::Utc::now(), 0, 1)).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_registers_at_once_is_answered_as_the_database_gets_to_it() {
    let mut world = World::new().await.admission(Admission::Open);
    // Far less than the whole fleet takes.
    let links = PoolSettings { wait_timeout_ms: 50, ..DbSettings::default().links };
    let limits = DbSettings { links, ..DbSettings::default() };
    world.db = Db::connect(world.switch.conninfo(), limits).await.expect("the database is there");
    let gateway = world.start().await;
    let addr = gateway.addr();
    let registers = |number: u64| {
        tokio::spawn(async move {
            let mut device = Device::connect(addr, &number.to_string()).await;
            device.register("").await.expect("registered")
        })
    };
    let fleet: Vec<_> = (13_900_000_100..13_900_000_200).map(registers).collect();
    for device in fleet {
        device.await.expect("answered");
    }
    let query = VehicleQuery::default();
    let vehicles = world.database.db().vehicles(&Scope::platform(), &query, &Page::default()).await;
    assert!(vehicles.expect("a list").next_cursor.is_some(), "more than a page of them");
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_lists_the_terminal_and_lets_it_in_once_approved() {
    let mut world = World::new().await.admission(Admission::Pending);
    world.settings.authenticate_within_s = 3;
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.register("测A12345").await, Err(4));
    assert_eq!(device.authenticate("code").await, 1);
    device.assert_quiet().await;
    wait_for_trouble(&gateway, Trouble::RegistrationRefused, 1).await;
    wait_for_trouble(&gateway, Trouble::AuthenticationRefused, 1).await;

    let db = world.database.db();
    let scope = Scope::platform();
    let pending = db.pending_terminals(&scope, &Page::default()).await.expect("a list").items;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].sim.as_str(), SIM);
    assert_eq!(pending[0].registration.plate, "测A12345");
    assert_eq!(pending[0].registration.maker, "MAKER");
    assert_eq!(pending[0].peer, "127.0.0.1");
    device.assert_closed().await;
    wait_for_trouble(&gateway, Trouble::AuthenticationLate, 1).await;

    let approval = Approval { company_id: ROOT_COMPANY, vehicle_id: None, plate: None };
    let sim = SIM.parse().expect("a SIM");
    db.approve_terminal(&scope, &sim, approval).await.expect("approved");
    Device::online(gateway.addr(), SIM).await.report(&location(chrono::Utc::now(), 0, 1)).await;
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_admits_on_the_same_link_when_approved_in_time() {
    let world = World::new().await.admission(Admission::Pending);
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.register("").await, Err(4));
    let approval = Approval { company_id: ROOT_COMPANY, vehicle_id: None, plate: None };
    let sim = SIM.parse().expect("a SIM");
    world.database.db().approve_terminal(&Scope::platform(), &sim, approval).await.expect("approved");
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_enters_the_terminal_under_the_root_company() {
    let world = World::new().await.admission(Admission::Open);
    let gateway = world.start().await;
    Device::online(gateway.addr(), "013900000007").await.report(&location(chrono::Utc::now(), 0, 1)).await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    let code = device.register("测A12345").await.expect("registered");
    assert_eq!(device.register("测A12345").await.as_ref(), Ok(&code), "registering again");
    assert_eq!(device.authenticate(&code).await, 0);
    assert_eq!(device.register("测A12345").await, Ok(code), "at any time");
    device.assert_alive().await;

    let vehicles = world
        .database
        .db()
        .vehicles(&Scope::platform(), &VehicleQuery::default(), &Page::default())
        .await
        .expect("a list")
        .items;
    let mut seen: Vec<_> = vehicles
        .iter()
        .map(|vehicle| {
            assert_eq!(vehicle.company_id, ROOT_COMPANY);
            let terminal = &vehicle.terminals[0];
            assert_eq!(terminal.channels.len(), 4);
            (vehicle.plate.clone(), terminal.device_no.clone())
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [("13900000007".to_owned(), "13900000007".to_owned()), ("测A12345".to_owned(), SIM.to_owned())]
    );
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_takes_a_terminal_that_never_registers() {
    let world = World::new().await.admission(Admission::Open);
    let gateway = world.start().await;
    for _ in 0..2 {
        let mut device = Device::connect(gateway.addr(), SIM).await;
        assert_eq!(device.authenticate("authentication").await, 0);
        device.report(&location(chrono::Utc::now(), 0, 1)).await;
    }
    let sim = SIM.parse().expect("a SIM");
    let terminal = world.database.db().terminal_by_sim(&sim).await.expect("asked").expect("entered");
    assert_eq!(terminal.company_id, ROOT_COMPANY);
    let mut empty = Device::connect(gateway.addr(), "13900000008").await;
    assert_eq!(empty.authenticate("").await, 0, "with no code at all");
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unregistering_makes_the_code_void() {
    let world = World::new().await.admission(Admission::Known);
    world.terminal(SIM).await;
    let gateway = world.start().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    let code = device.register("").await.expect("registered");
    assert_eq!(device.authenticate(&code).await, 0);
    let serial = device.send(0x0003, &[]).await;
    assert_eq!(device.reply_to(serial).await, 0);
    device.assert_closed().await;
    let mut device = Device::connect(gateway.addr(), SIM).await;
    assert_eq!(device.authenticate(&code).await, 1);
    let fresh = device.register("").await.expect("it may come back");
    assert_eq!(device.authenticate(&fresh).await, 0);
    assert!(device.receive_within(Duration::from_millis(1)).await.is_none());
    gateway.shutdown().await;
}
