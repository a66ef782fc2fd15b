//! The login server: terminals dial it, are admitted as at a gateway, and are sent to the gateway that carries least;
//! those that do not go are spliced through to it. Clients ask it which media server they should open.
//!
//! One task per terminal drives one sans-I/O session until the terminal is on its way. Knows no position and no
//! picture: what a terminal reports here, it reports again at its gateway.

mod clients;
mod cmsv6;
mod conn;
mod control;
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
use cluster::dispatch::{Arrivals, Dispatch};
use cluster::proxy::ClusterSecret;
use cluster::trace::{Heralds, Trace};
use cluster::{Counts as _, Placement};
use db::{DatabaseState, Db};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clients::{Clients, Refusal};
pub use control::Control;
pub use settings::Settings;
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
    /// Which gateway a terminal is sent to; shared with whoever else on this node sends terminals.
    pub dispatch: Dispatch,
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
    /// The task that takes connections.
    listener: AbortHandle,
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
        let Deps { db, codes, dispatch, secret, clients, placement, trace, heralds } = deps;
        let database = Arc::new(DatabaseState::default());
        let desk = Arc::new(Desk {
            door: Door::new(db.clone(), Arc::clone(&database), codes, settings.admission),
            splices: Semaphore::new(settings.splices_max.min(Semaphore::MAX_PERMITS)),
            settings,
            dispatch,
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
        rest.spawn(cluster::sum_up("login", Arc::clone(&desk.counters), stop.clone()));
        let accept = listener::accept(Arc::clone(&desk), listener, connections.clone(), stop.clone());
        let listener = rest.spawn(accept).abort_handle();
        tracing::info!(%addr, "terminals ask for a gateway on {addr}");
        Ok(Self { addr, desk, listener, stop, connections, rest })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who is to hear which terminals have arrived at their gateways.
    pub fn arrivals(&self) -> Arrivals {
        self.desk.dispatch.arrivals()
    }

    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        self.desk.counters.snapshot()
    }

    /// What may be done with it from elsewhere.
    pub fn control(&self) -> Control {
        Control { desk: Arc::clone(&self.desk), listener: self.listener.clone() }
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
