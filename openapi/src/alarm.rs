//! Alarms, and how they were handled.

use chrono::{DateTime, Utc};
use model::{AccountId, AlarmKind, CompanyId, TerminalId, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// An alarm with whose it is and who handled it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlarmRecord {
    /// The alarm itself.
    #[serde(flatten)]
    pub alarm: model::Alarm,
    /// The vehicle that carries its terminal now.
    pub vehicle_id: Option<VehicleId>,
    /// That vehicle's plate.
    pub plate: Option<String>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// How it was handled; null while nobody did.
    pub handling: Option<Handling>,
}

impl From<db::AlarmRecord> for AlarmRecord {
    fn from(row: db::AlarmRecord) -> Self {
        let db::AlarmRecord { alarm, vehicle_id, plate, company_id, handled } = row;
        Self { alarm, vehicle_id, plate, company_id, handling: handled.map(Into::into) }
    }
}

/// How an alarm was handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Handling {
    /// What was written.
    pub note: String,
    /// When.
    pub handled_at: DateTime<Utc>,
    /// By whom; null where that account is gone.
    pub handled_by: Option<AccountId>,
    /// Their name now.
    pub handled_by_name: Option<String>,
}

impl From<db::Handled> for Handling {
    fn from(row: db::Handled) -> Self {
        let db::Handled { by, by_name, at, note } = row;
        Self { note, handled_at: at, handled_by: by, handled_by_name: by_name }
    }
}

/// That an alarm is handled.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandleRequest {
    /// What was done about it, at most 1,000 characters; may be empty.
    #[schema(max_length = 1000)]
    pub note: String,
}

/// Which alarms to list, the latest start first.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlarmQuery {
    /// Started at or after.
    pub from: Option<DateTime<Utc>>,
    /// Started before.
    pub to: Option<DateTime<Utc>>,
    /// Only of this vehicle's terminals; 404 for one that the caller does not see.
    pub vehicle_id: Option<VehicleId>,
    /// Only of this terminal; 404 for one that the caller does not see.
    pub terminal_id: Option<TerminalId>,
    /// Only of this kind.
    #[param(inline)]
    pub kind: Option<AlarmKind>,
    /// Only those that last (true) or have ended (false).
    pub active: Option<bool>,
    /// Only those that somebody (true) or nobody (false) handled.
    pub handled: Option<bool>,
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}

impl From<&AlarmQuery> for db::AlarmQuery {
    fn from(query: &AlarmQuery) -> Self {
        let AlarmQuery { from, to, vehicle_id, terminal_id, kind, active, handled, cursor: _, limit: _ } =
            *query;
        Self { from, to, vehicle_id, terminal_id, kind, active, handled }
    }
}
