//! The real HTTP face over a fresh database, on a free port, with nobody behind the other seams but, where a
//! test wants them, simulated terminals behind a real gateway, or links that it makes up.
#![allow(dead_code, unreachable_pub, reason = "every test file uses the part it needs")]

pub mod cmsv6;
pub mod connection;
pub mod drive;
pub mod nodes;
pub mod sse;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use access::{Access, Keys};
use api::{Api, Deps, Settings};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cluster::dispatch::Dispatch;
use cluster::{Advertise, Bus, Listener, MediaServer, Placement, Terminals};
use db::testing::{Switch, TestDb};
use db::{
    Db, DbSettings, NewAccount, NewCompany, NewDeviceProfile, NewRole, NewTerminal, NewVehicle, ROOT_COMPANY,
};
use model::{
    AccountId, AlarmId, AlarmSet, AvAttributes, Command, CompanyId, DeviceProfileId, Permission, Position,
    RedirectForm, Reply, Report, RoleId, Scope, SendError, StatusSet, StreamKey, TerminalId, TerminalLink,
    VehicleId,
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// The password of every account here.
pub const PASSWORD: &str = "correct horse battery staple";

/// How long a condition may take to come true.
pub const WITHIN: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something; panics with `what` where it does not in time.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WITHIN;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "waited {WITHIN:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a gateway would know of the terminals that are connected: at first nobody is.
#[derive(Default)]
pub struct Links {
    known: Mutex<HashMap<TerminalId, TerminalLink>>,
    /// Who carries commands; nobody at first.
    way: Mutex<Option<Arc<dyn Terminals>>>,
}

impl Links {
    /// From now on `terminal` is connected, and says this of its sound and pictures.
    pub fn connect(&self, terminal: &Tenant, av: Option<AvAttributes>) {
        let sim = terminal.sim.to_string().parse().expect("a SIM");
        let link = TerminalLink { sim, sim_bytes: 6, av };
        self.known.lock().expect("no panic").insert(terminal.terminal, link);
    }

    /// From now on commands go this way.
    pub fn send_through(&self, way: Arc<dyn Terminals>) {
        *self.way.lock().expect("no panic") = Some(way);
    }
}

#[async_trait]
impl Terminals for Links {
    async fn link(&self, terminal: TerminalId) -> Result<TerminalLink, SendError> {
        let link = self.known.lock().expect("no panic").get(&terminal).cloned();
        link.ok_or(SendError::NotConnected(terminal))
    }
    async fn send(&self, terminal: TerminalId, command: Command) -> Result<Reply, SendError> {
        let way = self.way.lock().expect("no panic").clone();
        match way {
            Some(way) => way.send(terminal, command).await,
            None => Err(SendError::NotConnected(terminal)),
        }
    }
    async fn disconnect(&self, _: TerminalId) {}
}

struct OneMedia;

impl Placement for OneMedia {
    fn media_for(&self, _: &StreamKey) -> Option<MediaServer> {
        let at = |port| Advertise { host: None, port };
        Some(MediaServer { viewer: at(6604), tls: false, live: at(6602) })
    }
}

/// A company with everything that one has.
pub struct Tenant {
    pub company: CompanyId,
    pub role: RoleId,
    /// May do everything in the company.
    pub account: AccountId,
    pub name: String,
    pub vehicle: VehicleId,
    pub terminal: TerminalId,
    pub device_no: String,
    /// A device profile, which its terminal does not have.
    pub device_profile: DeviceProfileId,
    /// The SIM of its terminal, 11 digits.
    pub sim: u64,
    pub plate: String,
}

/// A position of `terminal` with an emergency, received when it was taken.
pub fn position(terminal: TerminalId, time: DateTime<Utc>) -> Position {
    Position {
        latitude: 31.2,
        longitude: 121.5,
        speed_kmh: 60.5,
        status: StatusSet(3),
        alarms: AlarmSet(1),
        ..Position::blank(terminal, Some(time), time)
    }
}

pub struct Server {
    pub database: TestDb,
    pub access: Access,
    pub events: Arc<Bus>,
    pub terminals: Arc<Links>,
    pub nodes: Arc<nodes::MadeUp>,
    pub addr: SocketAddr,
    pub client: reqwest::Client,
    api: Option<Api>,
}

impl Server {
    pub async fn start() -> Self {
        Self::set(false).await
    }

    /// With documents that need no log-in.
    pub async fn with_public_docs() -> Self {
        Self::set(true).await
    }

    /// With a switch in the line to its database.
    pub async fn switched() -> (Self, Switch) {
        let database = TestDb::new().await;
        let switch = Switch::new(database.conninfo());
        let db = Db::connect(switch.conninfo(), DbSettings::default()).await.expect("it takes connections");
        (Self::over(database, db, false).await, switch)
    }

    async fn set(public_docs: bool) -> Self {
        let database = TestDb::new().await;
        let db = database.db().clone();
        Self::over(database, db, public_docs).await
    }

    async fn over(database: TestDb, db: Db, public_docs: bool) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let access = Access::new(db.clone(), Keys::generate());
        let events = Arc::new(Bus::default());
        let terminals = Arc::new(Links::default());
        let nodes = Arc::new(nodes::MadeUp::default());
        let settings = Settings {
            web: Listener { listen: SocketAddr::from(([127, 0, 0, 1], 0)), advertise: None },
            workers: Some(1),
            public_docs,
            ..Settings::default()
        };
        let deps = Deps {
            db,
            access: access.clone(),
            events: Arc::clone(&events) as _,
            terminals: Arc::clone(&terminals) as _,
            placement: Arc::new(OneMedia),
            nodes: Arc::clone(&nodes) as _,
            dispatch: Some(Dispatch::new(Arc::clone(&nodes) as _, Arc::clone(&nodes) as _)),
            media: None,
            tls: None,
        };
        let api = Api::start(settings, deps).await.expect("it starts");
        let addr = api.addr();
        let client = reqwest::Client::new();
        Self { database, access, events, terminals, nodes, addr, client, api: Some(api) }
    }

    /// A tenant below the root, of `name`.
    pub async fn tenant(&self, name: &str) -> Tenant {
        let (db, all) = (self.database.db(), Scope::platform());
        let company = NewCompany { parent_id: ROOT_COMPANY, name: name.into() };
        let company = db.create_company(&all, company).await.expect("a company").id;
        let account = format!("{name}-manager");
        let (role, id) = self.account(company, &account, &Permission::ALL).await;
        let plate = format!("{name}-1");
        let vehicle = NewVehicle { company_id: company, plate: plate.clone(), plate_colour: 2 };
        let vehicle = db.create_vehicle(&all, vehicle).await.expect("a vehicle").id;
        let sim = 13_900_000_000 + company.0.unsigned_abs();
        let number = sim.to_string().parse().expect("a SIM");
        let terminal =
            NewTerminal { sim: number, device_no: None, vehicle_id: Some(vehicle), company_id: None };
        let terminal = db.create_terminal(&all, terminal).await.expect("a terminal");
        let profile = NewDeviceProfile {
            company_id: company,
            name: format!("{name} profile"),
            redirect_form: Some(RedirectForm::RawControl),
        };
        let device_profile = db.create_device_profile(&all, profile).await.expect("a profile").id;
        Tenant {
            company,
            role,
            account: id,
            name: account,
            vehicle,
            terminal: terminal.id,
            device_no: terminal.device_no,
            device_profile,
            sim,
            plate,
        }
    }

    /// An alarm that the tenant's terminal raised.
    pub async fn alarm(&self, tenant: &Tenant) -> AlarmId {
        let position = position(tenant.terminal, Utc::now());
        let report = Report { position, body: Arc::from([0u8; 28]), hash: 1 };
        let stored = self.database.db().store_reports(vec![report]).await.expect("stored");
        let (_, alarm) = stored.alarms.into_iter().next().expect("the alarm began");
        alarm.id
    }

    /// An account with a role of its own.
    pub async fn account(
        &self,
        company: CompanyId,
        name: &str,
        permissions: &[Permission],
    ) -> (RoleId, AccountId) {
        let (db, all) = (self.database.db(), Scope::platform());
        let role = NewRole {
            company_id: company,
            name: name.into(),
            permissions: permissions.iter().copied().collect(),
        };
        let role = db.create_role(&all, role).await.expect("a role").id;
        let hashes = self.access.hash_password(PASSWORD).await.expect("not busy");
        let account = NewAccount {
            company_id: company,
            role_id: role,
            name: name.into(),
            password_hash: hashes.password,
            md5_hash: hashes.password_md5,
            must_change_password: false,
            enabled: true,
            expires_at: None,
        };
        (role, db.create_account(&all, account).await.expect("an account").id)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    pub async fn log_in(&self, account: &str) -> Value {
        let reply = self.try_log_in(account, PASSWORD).await;
        assert_eq!(reply.status(), 200);
        reply.json().await.expect("tokens")
    }

    pub async fn try_log_in(&self, account: &str, password: &str) -> Response {
        let body = json!({"account": account, "password": password});
        self.request(Method::POST, "/api/v1/auth/login").json(&body).send().await.expect("a reply")
    }

    /// The access token of a new log-in.
    pub async fn token(&self, account: &str) -> String {
        self.log_in(account).await["access_token"].as_str().expect("a token").to_owned()
    }

    pub async fn stop(mut self) {
        if let Some(api) = self.api.take() {
            api.shutdown().await;
        }
    }
}
