//! `serve --demo`: 20 simulated vehicles that drive, report and stream.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use db::{Db, Registration};
use model::Sim;
use sim::Fleet;

/// How many vehicles.
const VEHICLES: u32 = 20;
/// The SIM of the first one; numbers that no operator gives out.
const FIRST_SIM: u64 = 10_000_000_001;

/// The running demo.
pub(crate) struct Demo {
    fleet: Fleet,
}

impl Demo {
    /// Enters the vehicles, whatever the admission of unknown terminals is, and lets them drive.
    pub(crate) async fn start(db: &Db, data: &Path, gateway: SocketAddr) -> Result<Self> {
        for number in 0..VEHICLES {
            let sim: Sim = (FIRST_SIM + u64::from(number)).to_string().parse().context("a SIM")?;
            let registration = Registration {
                plate: format!("DEMO{:02}", number + 1),
                plate_colour: 1,
                ..Registration::default()
            };
            if db.terminal_by_sim(&sim).await?.is_none() {
                db.admit(&sim, &registration)
                    .await
                    .with_context(|| format!("enter demo vehicle {number}"))?;
            }
        }
        let fleet = Fleet::start(sim::Settings {
            gateway: SocketAddr::from((Ipv4Addr::LOCALHOST, gateway.port())).to_string(),
            terminals: VEHICLES,
            first_sim: FIRST_SIM,
            interval_ms: 1_000,
            alarm_period_s: 60,
            clips: Some(data.join("demo-clips")),
            ..sim::Settings::default()
        })?;
        Ok(Self { fleet })
    }

    /// Takes the vehicles off the road.
    pub(crate) async fn stop(self) {
        // What was acknowledged of a demo is nobody's question.
        let _ = self.fleet.stop().await;
    }
}
