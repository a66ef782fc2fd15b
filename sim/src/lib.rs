//! Simulated terminals: a fleet that drives along roads of our own making, reports, resends, obeys commands (or not) and
//! streams clips with a machine-readable picture; the replay of a recorded stream; and a proxy that makes a link bad.
//!
//! Talks to the platform over its sockets alone and shares nothing with it but the protocol crate's terminal side.

pub mod blockcode;
mod clip;
mod command;
mod fleet;
mod ledger;
mod log;
mod manner;
mod packet;
mod parameters;
mod proxy;
mod replay;
mod route;
mod servers;
mod settings;
mod stream;
mod terminal;
mod tone;
mod vehicle;

use tokio::signal::unix::{SignalKind, signal};

pub use fleet::Fleet;
pub use ledger::{Account, Edge, Ledger, Redirects, Summary};
pub use log::{Entry as LogEntry, Line as LogLine};
pub use proxy::{Faults, Proxy, Silence, Stats as ProxyStats, Way};
pub use replay::{Attributes, Curtain, Replay};
pub use route::{Place, Route};
pub use settings::{Error, Settings};
pub use vehicle::{ALARM_BITS, SEQUENCE_ITEM};

/// Runs a fleet until it has finished or the process is asked to end (SIGTERM, SIGINT); the ledger is written in
/// either case.
pub async fn run(settings: Settings) -> Result<Ledger, Error> {
    let fleet = Fleet::start(settings)?;
    let stopper = fleet.stopper();
    let watch = tokio::spawn(async move {
        let kinds = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = kinds else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.cancel();
    });
    let ledger = fleet.finished().await;
    watch.abort();
    ledger
}
