//! Whose each terminal is: a snapshot that event streams filter by, so that an event costs no query.
//!
//! Reconciled: a change here wakes the reader at once, changes elsewhere are met at the period.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use db::{Db, DbError, LatestPosition, Page};
use model::{CompanyId, Scope, TerminalId, VehicleId};
use tokio::sync::Notify;
use tracing::warn;

/// How often the whole is read again without being asked.
const PERIOD: Duration = Duration::from_secs(10);
/// The least pause between two readings, however often it is woken.
const PAUSE: Duration = Duration::from_millis(200);

/// Where a terminal belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) vehicle_id: Option<VehicleId>,
    pub(crate) company_id: CompanyId,
}

/// The places of all terminals, some seconds old at most.
pub(crate) struct Directory {
    db: Db,
    places: ArcSwap<HashMap<TerminalId, Place>>,
    wake: Notify,
}

impl Directory {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, places: ArcSwap::default(), wake: Notify::new() }
    }

    /// Where `terminal` belongs; one that is not in the snapshot yet is asked for by itself.
    pub(crate) async fn place(&self, terminal: TerminalId) -> Option<Place> {
        if let Some(place) = self.places.load().get(&terminal) {
            return Some(*place);
        }
        let row = self.db.latest_position(&Scope::platform(), terminal).await.ok()?;
        self.wake.notify_one();
        Some(place(&row).1)
    }

    /// Something was changed here: read anew.
    pub(crate) fn changed(&self) {
        self.wake.notify_one();
    }

    /// Keeps the snapshot fresh for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            match self.read().await {
                Ok(places) => self.places.store(Arc::new(places)),
                Err(error) => warn!(%error, "directory of terminals not read anew: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
            // A wake-up during the reading or the pause was kept by the notify.
            let _ = tokio::time::timeout(PERIOD, self.wake.notified()).await;
        }
    }

    async fn read(&self) -> Result<HashMap<TerminalId, Place>, DbError> {
        let mut places = HashMap::new();
        let mut page = Page::largest();
        loop {
            let rows = self.db.latest_positions(&Scope::platform(), None, &page).await?;
            places.extend(rows.items.iter().map(place));
            let Some(next) = rows.next_cursor else { return Ok(places) };
            page = page.at(next);
        }
    }
}

fn place(row: &LatestPosition) -> (TerminalId, Place) {
    (row.terminal_id, Place { vehicle_id: row.vehicle_id, company_id: row.company_id })
}
