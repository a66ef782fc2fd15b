//! What the tasks of one gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cluster::Events;
use db::Db;
use model::{Alarm, AlarmChange, Event};
use tokio::sync::Notify;

use crate::arrival::Splices;
use crate::code::AuthCodes;
use crate::copies::{Copying, Kept};
use crate::known::Known;
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
    pub(crate) codes: AuthCodes,
    pub(crate) links: Links,
    pub(crate) known: Known,
    pub(crate) presence: Presence,
    pub(crate) releases: Releases,
    /// In a cluster only: login servers carry terminals here.
    pub(crate) splices: Option<Arc<dyn Splices>>,
    pub(crate) intake: Intake,
    pub(crate) spool: Spool,
    /// Of the own spool; in a cluster only.
    pub(crate) copying: Option<Copying>,
    /// Of others' spools; in a cluster only.
    pub(crate) kept: Option<Kept>,
    pub(crate) database: DatabaseState,
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
        db: Db,
        events: Arc<dyn Events>,
        codes: AuthCodes,
        intake: Intake,
        Disks { spool, copying, kept }: Disks,
        splices: Option<Arc<dyn Splices>>,
    ) -> Self {
        Self {
            settings,
            db,
            events,
            codes,
            links: Links::default(),
            known: Known::default(),
            presence: Presence::default(),
            releases: Releases::default(),
            splices,
            intake,
            spool,
            copying,
            kept,
            database: DatabaseState::default(),
            troubles: Troubles::default(),
            counts: Counts::default(),
        }
    }

    /// Tells of an alarm that was seen but is not stored yet.
    pub(crate) fn publish_alarm_started(&self, alarm: Alarm) {
        self.events.publish(Event::Alarm { change: AlarmChange::Started, alarm });
    }
}

/// Whether the database is away, as the last attempt found it. While it is, nobody waits for it but the
/// drainer, which tries again and again.
#[derive(Debug, Default)]
pub(crate) struct DatabaseState {
    away: AtomicBool,
    /// Wakes the drainer.
    pub(crate) look: Notify,
}

impl DatabaseState {
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self, error: &db::DbError) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the database is away: reports go to the spool");
        }
        self.look.notify_one();
    }

    pub(crate) fn back(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back");
        }
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
    pub(crate) acknowledged: Count,
}
