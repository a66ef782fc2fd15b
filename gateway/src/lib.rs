//! The gateway: terminals' signalling, positions and alarms.
//!
//! One task per terminal drives one sans-I/O session; reports flow through a bounded queue into batches,
//! and are answered when they are safe. Knows no HTTP client and no viewer: it publishes events and
//! carries out commands.

mod alarm;
mod command;
mod conn;
mod disk;
mod drain;
mod gate;
mod link;
mod listener;
mod normalise;
mod presence;
mod settings;
mod spool;
mod stats;
mod trouble;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use access::terminal::AuthCodes;
use cluster::{Events, Terminals};
use db::Db;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use settings::Settings;
pub use stats::{Meter, Stats};
pub use trouble::Trouble;

use disk::{Disk, LocalDisk};
use gate::Gate;
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
    /// Ends taking connections and every link.
    stop: CancellationToken,
    links: TaskTracker,
    /// Ends what stores and tells, after the links.
    stop_rest: CancellationToken,
    rest: TaskTracker,
}

impl Gateway {
    /// Binds the listener, opens the spool and starts serving terminals. The database need not be there.
    ///
    /// # Errors
    /// A port that is taken, a spool folder that cannot be used.
    pub async fn start(settings: Settings, deps: Deps) -> Result<Self, StartError> {
        Self::start_on(Arc::new(LocalDisk), settings, deps).await
    }

    async fn start_on(disk: Arc<dyn Disk>, settings: Settings, deps: Deps) -> Result<Self, StartError> {
        let addr = settings.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { addr, source })?;

        let (dir, bytes_max) = (settings.spool_dir.clone(), settings.spool_bytes_max);
        let spool = tokio::task::spawn_blocking(move || Spool::open(&dir, bytes_max, disk))
            .await
            .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
            .map_err(StartError::Spool)?;

        let (intake, queues) = Intake::new(settings.queue_reports_max, settings.writers);
        let Deps { db, events, codes } = deps;
        let gate = Arc::new(Gate::new(settings, db, events, codes, intake, spool));

        let (stop, stop_rest) = (CancellationToken::new(), CancellationToken::new());
        let (links, rest) = (TaskTracker::new(), TaskTracker::new());
        for queue in queues {
            rest.spawn(writer::write(Arc::clone(&gate), queue, stop_rest.clone()));
        }
        rest.spawn(drain::run(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(presence::run(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(trouble::summarise(Arc::clone(&gate), stop_rest.clone()));
        rest.spawn(listener::accept(Arc::clone(&gate), listener, links.clone(), stop.clone()));
        tracing::info!(%addr, admission = ?gate.door.admission(), "terminals are served on {addr}");
        Ok(Self { addr, gate, stop, links, stop_rest, rest })
    }

    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The way to the terminals that this gateway holds.
    pub fn terminals(&self) -> Arc<dyn Terminals> {
        Arc::new(command::Held { gate: Arc::clone(&self.gate) })
    }

    /// What it did and met since its start.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.gate)
    }

    /// Reads [`stats`](Self::stats) elsewhere.
    pub fn meter(&self) -> Meter {
        Meter { gate: Arc::clone(&self.gate) }
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
    }
}

// The tests' support names this crate as every test outside of it does.
#[cfg(test)]
extern crate self as gateway;

#[cfg(test)]
mod tests;
