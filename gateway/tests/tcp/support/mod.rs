//! A gateway on real parts for a test: its own database behind a switch, its own spool, terminals that
//! speak byte by byte.
#![allow(dead_code, unused_imports, reason = "every test file uses the part it needs")]
#![allow(unreachable_pub, reason = "included as a module of each test")]

mod device;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use access::terminal::{Admission, AuthCodes, AuthKey};
use chrono::{DateTime, TimeDelta, Utc};
use cluster::trace::Trace;
use cluster::{Bus, Events as _};
use db::testing::{Switch, TestDb};
use db::{Db, DbSettings, PoolSettings, Terminal};
use gateway::{Deps, Gateway, Settings};
use model::{CompanyId, Filter, Position, Scope, TerminalId};

pub use device::{Device, location};

/// How long a condition may take to come true.
pub const WITHIN: Duration = Duration::from_secs(20);
/// How long nothing may happen before a test believes that nothing will.
pub const QUIET: Duration = Duration::from_millis(400);

/// So many seconds after a whole second an hour ago, the same for the whole run: a resend says the same time again.
pub fn at(second: i64) -> DateTime<Utc> {
    static BEGIN: LazyLock<DateTime<Utc>> = LazyLock::new(|| {
        DateTime::from_timestamp(Utc::now().timestamp(), 0).expect("a time") - TimeDelta::hours(1)
    });
    *BEGIN + TimeDelta::seconds(second)
}

/// Everything that a gateway needs, and survives it.
pub struct World {
    pub database: TestDb,
    pub switch: Switch,
    /// Through the switch: the gateway's way to the database.
    pub db: Db,
    pub bus: Arc<Bus>,
    pub folder: tempfile::TempDir,
    pub settings: Settings,
}

impl World {
    pub async fn new() -> Self {
        let database = TestDb::new().await;
        let switch = Switch::new(database.conninfo());
        let pool = PoolSettings { connections: 2, wait_timeout_ms: 2_000, query_timeout_ms: 3_000 };
        let limits = DbSettings {
            write: pool,
            read: pool,
            control: pool,
            connect_timeout_ms: 3_000,
            ..DbSettings::default()
        };
        let db = Db::connect(switch.conninfo(), limits).await.expect("the database is there");
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            node: "test".to_owned(),
            spool_dir: folder.path().join("spool"),
            ..Settings::default()
        };
        Self { database, switch, db, bus: Arc::new(Bus::default()), folder, settings }
    }

    pub fn admission(mut self, admission: Admission) -> Self {
        self.settings.admission = admission;
        self
    }

    pub fn deps(&self) -> Deps {
        Deps { db: self.db.clone(), events: Arc::clone(&self.bus) as _, codes: codes(), trace: Trace::off() }
    }

    pub async fn start(&self) -> Gateway {
        Gateway::start(self.settings.clone(), self.deps()).await.expect("starts")
    }

    /// A known terminal.
    pub async fn terminal(&self, sim: &str) -> Terminal {
        let new = db::NewTerminal {
            sim: sim.parse().expect("a SIM"),
            device_no: None,
            vehicle_id: None,
            company_id: Some(db::ROOT_COMPANY),
        };
        self.database.db().create_terminal(&Scope::platform(), new).await.expect("made")
    }

    /// As the database has it now.
    pub async fn read(&self, terminal: TerminalId) -> Terminal {
        self.database.db().terminal(&Scope::platform(), terminal).await.expect("there")
    }

    /// Every stored dated position of the terminal, by device time.
    pub async fn track(&self, terminal: TerminalId) -> Vec<Position> {
        let (from, to) = (Utc::now() - TimeDelta::days(3), Utc::now());
        let page = db::Page::new(None, Some(db::Page::LIMIT_MAX)).expect("within the bound");
        let track = db::Track::Terminal(terminal);
        let to = to + TimeDelta::days(1);
        let paged = self.database.db().track_between(&Scope::platform(), track, from, to, &page).await;
        paged.expect("a track").items
    }

    pub fn events(&self) -> cluster::EventStream {
        self.bus.subscribe(Filter::default())
    }

    /// The segments of the spool.
    pub fn spool_files(&self) -> Vec<PathBuf> {
        let mut files = files(&self.settings.spool_dir);
        files.retain(|path| path.extension().is_some_and(|ending| ending == "spool"));
        files
    }
}

pub fn codes() -> AuthCodes {
    AuthCodes::new(AuthKey { id: 1, secret: [7; 32] }, Vec::new())
}

pub fn root_company() -> CompanyId {
    db::ROOT_COMPANY
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    files
}

/// Waits until `condition` gives something.
pub async fn wait_for<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    wait_long_for(what, WITHIN, condition).await
}

/// The same for what has a time of its own.
pub async fn wait_long_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "waited {within:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The count of one kind of trouble.
pub fn trouble(gateway: &Gateway, kind: gateway::Trouble) -> u64 {
    gateway.stats().trouble.get(kind.name()).copied().unwrap_or(0)
}

/// Waits until trouble of `kind` was counted `count` times.
pub async fn wait_for_trouble(gateway: &Gateway, kind: gateway::Trouble, count: u64) {
    wait_for(kind.name(), async || (trouble(gateway, kind) >= count).then_some(())).await;
    assert_eq!(trouble(gateway, kind), count, "{kind:?}");
}
