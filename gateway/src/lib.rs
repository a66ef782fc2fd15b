//! The gateway: terminals' signalling, positions and alarms.
//!
//! One task per terminal drives one sans-I/O session; reports flow through a bounded queue into batches,
//! and are answered when they are safe. Knows no HTTP client and no viewer: it publishes events and
//! carries out commands.

mod alarm;
mod arrival;
mod command;
mod conn;
mod control;
mod copies;
mod course;
mod disk;
mod drain;
mod gate;
mod link;
mod listener;
mod normalise;
mod presence;
mod readiness;
mod redirect;
mod servers;
mod settings;
mod spool;
mod stats;
mod trouble;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use access::terminal::AuthCodes;
use cluster::trace::Trace;
use cluster::{Copies, CopyPeers, Events, Incarnation, Links, NodeId, Terminals};
use db::Db;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use arrival::Splices;
pub use control::Control;
pub use copies::{CopyOf, CopyStats};
pub use readiness::Unready;
pub use settings::Settings;
pub use stats::Stats;
pub use trouble::Trouble;

use copies::{Copying, Keeping, Kept};
use disk::{Disk, LocalDisk};
use gate::{Disks, Gate};
use spool::Spool;
use writer::Intake;

/// What a gateway works with.
#[derive(Clone)]
pub struct Deps {
    /// Where positions, alarms and terminals are kept.
    pub db: Db,
    /// Who is told what happens.
    pub events: Arc<dyn Events>,
    /// Signs and checks authentication codes.
    pub codes: AuthCodes,
    /// Who is told how terminals come.
    pub trace: Trace,
}

/// What a gateway of a cluster works with beside [`Deps`].
#[derive(Clone)]
pub struct Membership {
    /// Its name in the cluster.
    pub node: NodeId,
    /// This life of it.
    pub incarnation: Incarnation,
    /// Who may keep a copy of its spool.
    pub peers: CopyPeers,
    /// Who says which connections are carried by a login server.
    pub splices: Arc<dyn Splices>,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its port could not be taken.
    #[error("terminals cannot be served on {addr}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its spool could not be opened.
    #[error("the spool cannot be opened")]
    Spool(#[source] std::io::Error),
}

/// A running gateway. Dropping it does not stop it; [`shutdown`](Self::shutdown) does.
pub struct Gateway {
    addr: SocketAddr,
    gate: Arc<Gate>,
    /// The task that takes connections.
    listener: AbortHandle,
    /// Ends taking connections and every link.
    stop: CancellationToken,
    links: TaskTracker,
    /// Ends what stores and tells, after the links.
    stop_rest: CancellationToken,
    rest: TaskTracker,
    /// Ends what copies the spool, after those who wait for that.
    stop_copies: CancellationToken,
    copies: TaskTracker,
}

impl Gateway {
    /// Binds the listener, opens the spool and starts serving terminals. The database need not be there.
    ///
    /// # Errors
    /// A port that is taken, a spool folder that cannot be used.
    pub async fn start(settings: Settings, deps: Deps) -> Result<Self, StartError> {
        Self::start_on(Arc::new(LocalDisk), settings, deps, None).await
    }

    /// As [`start`](Self::start), as one of the gateways of a cluster.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn join(settings: Settings, deps: Deps, membership: Membership) -> Result<Self, StartError> {
        Self::start_on(Arc::new(LocalDisk), settings, deps, Some(membership)).await
    }

    async fn start_on(
        disk: Arc<dyn Disk>,
        mut settings: Settings,
        deps: Deps,
        membership: Option<Membership>,
    ) -> Result<Self, StartError> {
        let addr = settings.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { addr, source })?;
        if let Some(advertise) = settings.advertise.as_mut().filter(|advertise| advertise.port == 0) {
            advertise.port = addr.port();
        }

        let splices = membership.as_ref().map(|membership| Arc::clone(&membership.splices));
        let disks = {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || open(&settings, &disk, membership))
                .await
                .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
                .map_err(StartError::Spool)?
        };

        let (intake, queues) = Intake::new(settings.queue_reports_max, settings.writers);
        let gate = Arc::new(Gate::new(settings, deps, intake, disks, splices));

        let (stop, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let (links, rest) = (TaskTracker::new(), TaskTracker::new());
        let (stop_copies, copies) = (CancellationToken::new(), TaskTracker::new());
        copies.spawn(copies::copy(Arc::clone(&gate), stop_copies.clone()));
        copies.spawn(copies::tell(Arc::clone(&gate), stop_copies.clone()));
        for queue in queues {
            rest.spawn(writer::write(Arc::clone(&gate), queue, stop_rest.clone()));
        }
        rest.spawn(drain::run(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(presence::run(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(redirect::run(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(trouble::summarise(Arc::clone(&gate), stop_rest.clone()));
        let accept = listener::accept(Arc::clone(&gate), listener, links.clone(), stop.clone());
        let listener = rest.spawn(accept).abort_handle();
        tracing::info!(%addr, admission = ?gate.door.admission(), "terminals are served on {addr}");
        Ok(Self { addr, gate, listener, stop, links, stop_rest, rest, stop_copies, copies })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The way to the terminals that this gateway holds.
    pub fn terminals(&self) -> Arc<dyn Terminals> {
        Arc::new(command::Held { gate: Arc::clone(&self.gate) })
    }

    /// What it keeps of others' spools, as they ask for it; None where it is in no cluster.
    pub fn copies(&self) -> Option<Arc<dyn Copies>> {
        let kept = self.gate.kept.clone()?;
        Some(Arc::new(Keeping { gate: Arc::clone(&self.gate), kept }))
    }

    /// What it tells of the links that it holds.
    pub fn links(&self) -> Arc<dyn Links> {
        Arc::new(command::Held { gate: Arc::clone(&self.gate) })
    }

    /// What may be done with it from elsewhere.
    pub fn control(&self) -> Control {
        Control { gate: Arc::clone(&self.gate), listener: self.listener.clone() }
    }

    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.gate)
    }

    /// Stops taking connections, closes those there are, stores what waits, tells the database that the
    /// terminals are offline (for a bounded time), and returns when nothing of the gateway runs any more.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.links.close();
        self.links.wait().await;
        self.stop_rest.cancel();
        self.rest.close();
        self.rest.wait().await;
        self.stop_copies.cancel();
        self.copies.close();
        self.copies.wait().await;
    }
}

/// Opens what lies on disks. May take long.
fn open(settings: &Settings, disk: &Arc<dyn Disk>, membership: Option<Membership>) -> std::io::Result<Disks> {
    let dir = &settings.spool_dir;
    let spool = Spool::open(dir, settings.spool_bytes_max, Arc::clone(disk))?;
    let Some(Membership { node, incarnation, peers, .. }) = membership else {
        return Ok(Disks { spool, copying: None, kept: None });
    };
    let kept = Kept::open(&dir.join("copies"), settings.copies_bytes_max, Arc::clone(disk))?;
    let copying = Copying::enter(dir, CopyOf { origin: node, incarnation }, peers)?;
    Ok(Disks { spool, copying: Some(copying), kept: Some(kept) })
}

// The tests' support names this crate as every test outside of it does.
#[cfg(test)]
extern crate self as gateway;

#[cfg(test)]
mod tests;
