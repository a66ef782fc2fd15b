//! What the tasks of one gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cluster::Events;
use db::Db;
use model::{Alarm, AlarmChange, Event};
use tokio::sync::Notify;

use crate::code::AuthCodes;
use crate::known::Known;
use crate::link::Links;
use crate::presence::Presence;
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
    pub(crate) intake: Intake,
    pub(crate) spool: Spool,
    pub(crate) database: DatabaseState,
    pub(crate) troubles: Troubles,
    pub(crate) counts: Counts,
}

impl Gate {
    pub(crate) fn new(
        settings: Settings,
        db: Db,
        events: Arc<dyn Events>,
        codes: AuthCodes,
        intake: Intake,
        spool: Spool,
    ) -> Self {
        Self {
            settings,
            db,
            events,
            codes,
            links: Links::default(),
            known: Known::default(),
            presence: Presence::default(),
            intake,
            spool,
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
