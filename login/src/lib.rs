//! The login server: terminals dial it, are admitted as at a gateway, and are sent to the gateway that carries least;
//! those that do not go are spliced through to it. Clients ask it which media server they should open.
//!
//! One task per terminal drives one sans-I/O session until the terminal is on its way. Knows no position and no
//! picture: what a terminal reports here, it reports again at its gateway.

mod clients;
mod cmsv6;
mod conn;
mod desk;
mod heard;
mod http;
mod listener;
mod settings;
mod splice;
mod stats;
mod stubborn;

use std::net::SocketAddr;
use std::sync::Arc;

use access::terminal::{AuthCodes, Door};
use cluster::Placement;
use cluster::proxy::ClusterSecret;
use cluster::trace::{Heralds, Trace};
use db::{DatabaseState, Db};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clients::{Clients, Refusal};
pub use desk::{Arrivals, Gateways};
pub use settings::{RedirectForm, Settings};
pub use stats::Stats;

use desk::Desk;
use stats::Counters;
use stubborn::Stubborn;

/// What a login server works with.
#[derive(Clone)]
pub struct Deps {
    /// Where terminals are kept.
    pub db: Db,
    /// Signs and checks authentication codes.
    pub codes: AuthCodes,
    /// The gateways that terminals are sent to.
    pub gateways: Arc<dyn Gateways>,
    /// By which gateways know who splices terminals through to them.
    pub secret: ClusterSecret,
    /// Who may be told of a media server.
    pub clients: Arc<dyn Clients>,
    /// Which media server.
    pub placement: Arc<dyn Placement>,
    /// Who is told how terminals come.
    pub trace: Trace,
    /// What tells a gateway which terminals were sent to it.
    pub heralds: Arc<dyn Heralds>,
}

/// Why a login server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its port could not be taken.
    #[error("terminals cannot ask for a gateway on {addr}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running login server. Dropping it does not stop it; [`shutdown`](Self::shutdown) does.
pub struct Login {
    addr: SocketAddr,
    desk: Arc<Desk>,
    stop: CancellationToken,
    connections: TaskTracker,
    rest: TaskTracker,
}

impl Login {
    /// Binds the listener and starts serving. The database need not be there: a genuine code is enough then.
    ///
    /// # Errors
    /// A port that is taken.
    pub async fn start(settings: Settings, deps: Deps) -> Result<Self, StartError> {
        let addr = settings.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { addr, source })?;
        let Deps { db, codes, gateways, secret, clients, placement, trace, heralds } = deps;
        let database = Arc::new(DatabaseState::default());
        let desk = Arc::new(Desk {
            door: Door::new(db.clone(), Arc::clone(&database), codes, settings.admission),
            splices: Semaphore::new(settings.splices_max.min(Semaphore::MAX_PERMITS)),
            settings,
            gateways,
            dispatcher: Arc::default(),
            secret,
            clients,
            placement,
            trace,
            heralds,
            stubborn: Stubborn::default(),
            counters: Arc::new(Counters::default()),
        });
        let stop = CancellationToken::new();
        let (connections, rest) = (TaskTracker::new(), TaskTracker::new());
        rest.spawn(desk::look_for_the_database(db, database, stop.clone()));
        rest.spawn(stats::summarise(Arc::clone(&desk.counters), stop.clone()));
        rest.spawn(listener::accept(Arc::clone(&desk), listener, connections.clone(), stop.clone()));
        tracing::info!(%addr, "terminals ask for a gateway on {addr}");
        Ok(Self { addr, desk, stop, connections, rest })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who is to hear which terminals have arrived at their gateways.
    pub fn arrivals(&self) -> Arrivals {
        Arrivals { dispatcher: Arc::clone(&self.desk.dispatcher) }
    }

    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        self.desk.counters.snapshot()
    }

    /// Forgets what is remembered of a terminal's code: it was revoked, or the terminal deleted.
    pub fn forget(&self, terminal: model::TerminalId) {
        self.desk.door.forget(terminal);
    }

    /// Stops taking connections, closes those there are, spliced ones included (their terminals come back to another
    /// login server), and returns when nothing of it runs any more.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.rest.close();
        self.rest.wait().await;
        self.connections.close();
        self.connections.wait().await;
    }
}
