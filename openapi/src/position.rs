//! Where terminals are, and tracks.

use chrono::{DateTime, Utc};
use model::{CompanyId, Position, TerminalId, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Where a terminal is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Its newest position; null before the first.
    pub position: Option<Position>,
}

impl From<db::LatestPosition> for LatestPosition {
    fn from(row: db::LatestPosition) -> Self {
        let db::LatestPosition {
            terminal_id,
            device_no,
            vehicle_id,
            plate,
            company_id,
            online,
            last_seen_at,
            position,
        } = row;
        Self { terminal_id, device_no, vehicle_id, plate, company_id, online, last_seen_at, position }
    }
}

/// Which latest positions to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LatestQuery {
    /// Only of this company and those below it; 404 for one that the caller does not see.
    pub company_id: Option<CompanyId>,
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}

/// Which part of a track.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrackQuery {
    /// From this device time on.
    #[param(example = "2026-11-22T00:00:00Z")]
    pub from: DateTime<Utc>,
    /// Before this device time; at most 31 days after `from`.
    #[param(example = "2026-11-23T00:00:00Z")]
    pub to: DateTime<Utc>,
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}
