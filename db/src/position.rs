//! Reading positions: the latest of each terminal, and tracks.

use chrono::{DateTime, Utc};
use model::{CompanyId, Position, Scope, TerminalId, VehicleId};

use crate::{Db, DbError, Page, Paged};

/// Where a terminal is now.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestPosition {
    /// Which terminal.
    pub terminal_id: TerminalId,
    /// The number by which people name it.
    pub device_no: String,
    /// The vehicle that carries it.
    pub vehicle_id: Option<VehicleId>,
    /// That vehicle's plate.
    pub plate: Option<String>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Whether it has an authenticated link.
    pub online: bool,
    /// When it last authenticated, lost its link, or sent a stored report.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Its newest position; None before the first.
    pub position: Option<Position>,
}

/// Whose track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// Of all terminals that the vehicle carries now.
    Vehicle(VehicleId),
    /// Of one terminal.
    Terminal(TerminalId),
}

impl Db {
    /// Longest range of a track, days.
    pub const TRACK_DAYS_MAX: i64 = 31;

    /// The latest positions of the terminals in `scope` (of `company` and below, where given), by terminal.
    pub async fn latest_positions(
        &self,
        scope: &Scope,
        company: Option<CompanyId>,
        page: &Page,
    ) -> Result<Paged<LatestPosition>, DbError> {
        todo!()
    }

    /// The latest position of one terminal.
    pub async fn latest_position(
        &self,
        scope: &Scope,
        terminal: TerminalId,
    ) -> Result<LatestPosition, DbError> {
        todo!()
    }

    /// The positions with a device time from `from` (included) to `to` (excluded), by rising device time.
    /// Positions without a device time are in no track.
    ///
    /// # Errors
    /// [`DbError::Invalid`] where the range is empty, backwards or longer than [`Self::TRACK_DAYS_MAX`].
    pub async fn track_between(
        &self,
        scope: &Scope,
        whose: Track,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        page: &Page,
    ) -> Result<Paged<Position>, DbError> {
        todo!()
    }
}
