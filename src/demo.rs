//! `serve --demo`: 20 simulated vehicles that drive, report and stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use db::{Db, Registration};
use model::Sim;
use sim::Fleet;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How many vehicles.
const VEHICLES: u32 = 20;
/// The SIM of the first one; numbers that no operator gives out.
const FIRST_SIM: u64 = 10_000_000_001;

/// The demo: it waits for the database, and then runs.
pub(crate) struct Demo {
    driving: JoinHandle<Result<()>>,
    started: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl Demo {
    /// Enters the vehicles once `ready` resolves, whatever the admission of unknown terminals is, and lets
    /// them drive.
    pub(crate) fn start(
        ready: impl Future<Output = ()> + Send + 'static,
        db: Db,
        data: &Path,
        gateway: SocketAddr,
    ) -> Self {
        let (told, started) = watch::channel(false);
        let stop = CancellationToken::new();
        let (stopped, clips) = (stop.clone(), data.join("demo-clips"));
        let driving = tokio::spawn(async move {
            if stopped.run_until_cancelled(ready).await.is_none() {
                return Ok(());
            }
            let fleet = drive(&db, clips, gateway).await;
            let fleet = fleet.inspect_err(|error| error!("the demo does not start: {error:#}"))?;
            told.send_replace(true);
            stopped.cancelled().await;
            // What was acknowledged of a demo is nobody's question.
            let _ = fleet.stop().await;
            Ok(())
        });
        Self { driving, started, stop }
    }

    /// Returns when the vehicles drive.
    pub(crate) async fn started(&mut self) -> Result<()> {
        if self.started.wait_for(|started| *started).await.is_ok() {
            return Ok(());
        }
        (&mut self.driving).await?
    }

    /// Takes the vehicles off the road.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let _ = self.driving.await;
    }
}

async fn drive(db: &Db, clips: PathBuf, gateway: SocketAddr) -> Result<Fleet> {
    for number in 0..VEHICLES {
        let sim: Sim = (FIRST_SIM + u64::from(number)).to_string().parse().context("a SIM")?;
        let registration = Registration {
            plate: format!("DEMO{:02}", number + 1),
            plate_colour: 1,
            ..Registration::default()
        };
        if db.terminal_by_sim(&sim).await?.is_none() {
            db.admit(&sim, &registration).await.with_context(|| format!("enter demo vehicle {number}"))?;
        }
    }
    Fleet::start(sim::Settings {
        gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, gateway.port())).to_string(),
        terminals: VEHICLES,
        first_sim: FIRST_SIM,
        interval_ms: 1_000,
        alarm_period_s: 60,
        clips: Some(clips),
        ..sim::Settings::default()
    })
    .context("start the simulated terminals")
}
