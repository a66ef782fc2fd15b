//! A login server on real parts for a test: its own database, gateways that speak byte by byte, terminals likewise.
#![allow(dead_code, unused_imports, reason = "every test file uses the part it needs")]
#![allow(unreachable_pub, reason = "included as a module of each test")]

#[path = "../../../../gateway/tests/tcp/support/device.rs"]
mod device;
mod gateway;

use std::sync::Arc;
use std::time::{Duration, Instant};

use access::terminal::{Admission, AuthCodes, AuthKey};
use async_trait::async_trait;
use cluster::dispatch::{Candidate, Candidates, Dispatch, Gateways, Unfit};
use cluster::proxy::ClusterSecret;
use cluster::trace::{HeraldHere, Heralds, Trace};
use cluster::{Advertise, Holders, MediaServer, NodeId, Placement};
use db::testing::TestDb;
use login::{Clients, Deps, Login, Refusal, Settings, Stats};
use model::{Channel, Profile, Scope, StreamKey, TerminalId};
use parking_lot::Mutex;

pub use device::{Device, Message, location};
pub use gateway::{Gateway, Link};

/// How long a condition may take to come true.
pub const WITHIN: Duration = Duration::from_secs(20);
/// How long nothing may happen before a test believes that nothing will.
pub const QUIET: Duration = Duration::from_millis(400);

/// The SIM of the one terminal of most tests.
pub const SIM: &str = "13912345678";

pub fn secret() -> ClusterSecret {
    ClusterSecret([9; 32])
}

pub fn codes() -> AuthCodes {
    AuthCodes::new(AuthKey { id: 1, secret: [7; 32] }, Vec::new())
}

pub fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

/// The gateways that the login server sees, as a test says.
#[derive(Default)]
pub struct Fleet(Mutex<Candidates>);

impl Gateways for Fleet {
    fn candidates(&self) -> Candidates {
        self.0.lock().clone()
    }
}

impl Holders for Fleet {
    fn holder_of(&self, _: TerminalId) -> Option<NodeId> {
        None
    }

    fn forget(&self, _: TerminalId, _: &NodeId) {}
}

impl Fleet {
    /// Puts a gateway there, or in the place of the one of that name.
    pub fn put(&self, name: &str, port: u16, terminals: u32, unfit: Option<Unfit>) {
        let candidate = Candidate {
            node: node(name),
            dial: Some(Advertise { host: Some("127.0.0.1".to_owned()), port }),
            limit: 1_000,
            terminals,
            measured_at_ms: 0,
            unfit,
        };
        let mut candidates = self.0.lock();
        candidates.gateways.retain(|known| known.node != candidate.node);
        candidates.gateways.push(candidate);
    }
}

/// One account, `good`, which sees the device `D1` (terminal 1) and has no right to `D2`.
pub struct People;

#[async_trait]
impl Clients for People {
    async fn stream(
        &self,
        session: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<StreamKey, Refusal> {
        match (session, device) {
            ("good", "D1") => Ok(StreamKey::live(TerminalId(1), channel, profile)),
            ("good", "D2") => Err(Refusal::Forbidden),
            ("good", "D3") => Err(Refusal::Unavailable),
            ("good", _) => Err(Refusal::NotFound),
            _ => Err(Refusal::Invalid),
        }
    }
}

/// A media server for channel 1, none for others.
pub struct Studio;

impl Placement for Studio {
    fn media_for(&self, stream: &StreamKey) -> Option<MediaServer> {
        let at = |port| Advertise { host: None, port };
        (stream.channel.number() == 1).then_some(MediaServer { viewer: at(6604), tls: false, live: at(6602) })
    }
}

/// Everything that a login server needs.
pub struct World {
    pub database: TestDb,
    pub fleet: Arc<Fleet>,
    pub settings: Settings,
    pub trace: Trace,
    pub heralds: Arc<dyn Heralds>,
}

impl World {
    pub async fn new() -> Self {
        let settings = Settings {
            listen: "127.0.0.1:0".parse().expect("an address"),
            admission: Admission::Known,
            ..Settings::default()
        };
        let heralds = Arc::new(HeraldHere(None));
        Self { database: TestDb::new().await, fleet: Arc::default(), settings, trace: Trace::off(), heralds }
    }

    /// One login server, one gateway `gw1`, one known terminal.
    pub async fn small() -> (Self, Login, Gateway, TerminalId) {
        Self::small_with(|_| ()).await
    }

    pub async fn small_with(change: impl FnOnce(&mut Settings)) -> (Self, Login, Gateway, TerminalId) {
        let mut world = Self::new().await;
        change(&mut world.settings);
        let terminal = world.terminal(SIM).await;
        let gateway = Gateway::new().await;
        world.fleet.put("gw1", gateway.port(), 0, None);
        let login = world.start().await;
        (world, login, gateway, terminal)
    }

    pub async fn start(&self) -> Login {
        let deps = Deps {
            db: self.database.db().clone(),
            codes: codes(),
            dispatch: Dispatch::new(Arc::clone(&self.fleet) as _, Arc::clone(&self.fleet) as _),
            secret: secret(),
            clients: Arc::new(People),
            placement: Arc::new(Studio),
            trace: self.trace.clone(),
            heralds: Arc::clone(&self.heralds),
        };
        Login::start(self.settings.clone(), deps).await.expect("starts")
    }

    /// A known terminal.
    pub async fn terminal(&self, sim: &str) -> TerminalId {
        let new = db::NewTerminal {
            sim: sim.parse().expect("a SIM"),
            device_no: None,
            vehicle_id: None,
            company_id: Some(db::ROOT_COMPANY),
        };
        self.database.db().create_terminal(&Scope::platform(), new).await.expect("made").id
    }
}

/// The parameters of 0x8105, split where the standard splits them.
pub fn parameters(message: &Message) -> Vec<String> {
    assert_eq!(message.id, 0x8105, "{message:x?}");
    let (command, text) = message.body.split_first().expect("a command");
    assert_eq!(*command, 2);
    text.split(|byte| *byte == b';').map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

/// The terminal's general answer.
pub fn answer(serial: u16, id: u16, result: u8) -> Vec<u8> {
    [&serial.to_be_bytes()[..], &id.to_be_bytes(), &[result]].concat()
}

/// Waits until `condition` gives something.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + WITHIN;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < until, "waited {WITHIN:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until this is counted so often.
pub async fn wait_for_count(login: &Login, what: &str, count: u64, of: impl Fn(&Stats) -> u64) {
    wait_for(what, async || (of(&login.stats()) == count).then_some(())).await;
}
