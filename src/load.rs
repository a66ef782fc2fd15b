//! What this node carries, measured each second.
//!
//! Knows not who asks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use cluster::{Load, Measurement};
use gateway::Control;
use media::MediaServer;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::task::AbortOnDropHandle;

use crate::machine::{Machine, MachineLoad};

/// How often a node looks at what it carries. Whoever asks gets the last look, so that two who ask at once do not see
/// the processors over no time at all, and nobody waits for a disk.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks at what this node carries until it is dropped.
pub(crate) struct LoadMeter {
    measured: watch::Receiver<Measurement>,
    _looking: AbortOnDropHandle<()>,
}

impl LoadMeter {
    /// Looks once, and then again and again. Must be called inside a tokio runtime.
    pub(crate) fn start(data: &Path, gateway: Option<Control>, media: Option<Arc<MediaServer>>) -> Self {
        let machine = Arc::new(Machine::new(data));
        let carried = Carried { gateway, media };
        let (sender, measured) = watch::channel(carried.measurement(machine.look()));
        let mut ticks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = tokio::spawn(async move {
            loop {
                ticks.tick().await;
                let machine = Arc::clone(&machine);
                // A disk that does not answer holds this up: what was measured last then stays, with its time.
                if let Ok(load) = tokio::task::spawn_blocking(move || machine.look()).await {
                    sender.send_replace(carried.measurement(load));
                }
            }
        });
        Self { measured, _looking: AbortOnDropHandle::new(looking) }
    }

    /// The last look, and later ones.
    pub(crate) fn measured(&self) -> watch::Receiver<Measurement> {
        self.measured.clone()
    }
}

/// What this node's roles carry.
struct Carried {
    gateway: Option<Control>,
    media: Option<Arc<MediaServer>>,
}

impl Carried {
    fn measurement(&self, machine: MachineLoad) -> Measurement {
        let MachineLoad { cpu_permille, memory_bytes, memory_max_bytes, storage_bytes, storage_max_bytes } =
            machine;
        let terminals = self.gateway.as_ref().map_or(0, |gateway| gateway.stats().terminals);
        let viewers = self.media.as_ref().map_or(0, |media| media.viewers());
        let load = Load {
            terminals: u32::try_from(terminals).unwrap_or(u32::MAX),
            viewers: u32::try_from(viewers).unwrap_or(u32::MAX),
            cpu_permille,
            memory_bytes,
            memory_max_bytes,
            storage_bytes,
            storage_max_bytes,
        };
        Measurement { load, at: Utc::now() }
    }
}
