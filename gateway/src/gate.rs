//! What the tasks of one gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use access::terminal::Door;
use cluster::Events;
use cluster::trace::Trace;
use db::{DatabaseState, Db};
use model::{Alarm, AlarmChange, Event};

use crate::Deps;
use crate::arrival::Splices;
use crate::copies::{Copying, Kept};
use crate::course::Awaited;
use crate::link::Links;
use crate::presence::Presence;
use crate::redirect::Releases;
use crate::settings::Settings;
use crate::spool::Spool;
use crate::trouble::Troubles;
use crate::writer::Intake;

/// Shared by all tasks of a gateway.
pub(crate) struct Gate {
    pub(crate) settings: Settings,
    pub(crate) db: Db,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) door: Door,
    pub(crate) links: Links,
    pub(crate) presence: Presence,
    pub(crate) releases: Releases,
    pub(crate) trace: Trace,
    pub(crate) awaited: Awaited,
    /// In a cluster only: login servers carry terminals here.
    pub(crate) splices: Option<Arc<dyn Splices>>,
    pub(crate) intake: Intake,
    pub(crate) spool: Spool,
    /// Of the own spool; in a cluster only.
    pub(crate) copying: Option<Copying>,
    /// Of others' spools; in a cluster only.
    pub(crate) kept: Option<Kept>,
    /// While it is away reports go to the spool, and the drainer is who looks whether it is back.
    pub(crate) database: Arc<DatabaseState>,
    pub(crate) troubles: Troubles,
    pub(crate) counts: Counts,
}

/// What a gate keeps on disks, its own and others'.
pub(crate) struct Disks {
    pub(crate) spool: Spool,
    pub(crate) copying: Option<Copying>,
    pub(crate) kept: Option<Kept>,
}

impl Gate {
    pub(crate) fn new(
        settings: Settings,
        Deps { db, events, codes, trace }: Deps,
        intake: Intake,
        Disks { spool, copying, kept }: Disks,
        splices: Option<Arc<dyn Splices>>,
    ) -> Self {
        let database = Arc::new(DatabaseState::default());
        Self {
            door: Door::new(db.clone(), Arc::clone(&database), codes, settings.admission),
            settings,
            db,
            events,
            links: Links::default(),
            presence: Presence::default(),
            releases: Releases::default(),
            trace,
            awaited: Awaited::default(),
            splices,
            intake,
            spool,
            copying,
            kept,
            database,
            troubles: Troubles::default(),
            counts: Counts::default(),
        }
    }

    /// Tells of an alarm that was seen but is not stored yet.
    pub(crate) fn publish_alarm_started(&self, alarm: Alarm) {
        self.events.publish(Event::Alarm { change: AlarmChange::Started, alarm });
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What happened to reports since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) received: Count,
    pub(crate) inserted: Count,
    pub(crate) repeated: Count,
    pub(crate) quarantined: Count,
    pub(crate) spooled: Count,
    pub(crate) drained: Count,
    pub(crate) copied: Count,
    pub(crate) kept: Count,
    pub(crate) adopted: Count,
    pub(crate) acknowledged: Count,
}
