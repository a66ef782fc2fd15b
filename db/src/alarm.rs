//! Alarms as people see and handle them. How they come about: `store`.

use chrono::{DateTime, Utc};
use model::{AccountId, Alarm, AlarmId, AlarmKind, CompanyId, Scope, TerminalId, VehicleId};

use crate::{Db, DbError, Page, Paged};

/// An alarm with whose it is and who handled it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlarmRecord {
    /// The alarm.
    pub alarm: Alarm,
    /// The vehicle that carries its terminal now.
    pub vehicle_id: Option<VehicleId>,
    /// That vehicle's plate.
    pub plate: Option<String>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Who handled it; None while nobody did.
    pub handled: Option<Handled>,
}

/// How an alarm was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    /// By whom; None where that account is gone or the platform did it.
    pub by: Option<AccountId>,
    /// Their name now.
    pub by_name: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
    /// What they wrote.
    pub note: String,
}

/// Which alarms to list. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmQuery {
    /// Started at or after.
    pub from: Option<DateTime<Utc>>,
    /// Started before.
    pub to: Option<DateTime<Utc>>,
    /// Only of this vehicle's terminals.
    pub vehicle_id: Option<VehicleId>,
    /// Only of this terminal.
    pub terminal_id: Option<TerminalId>,
    /// Only of this kind.
    pub kind: Option<AlarmKind>,
    /// Only those that last (true) or have ended (false).
    pub active: Option<bool>,
    /// Only those that somebody (true) or nobody (false) handled.
    pub handled: Option<bool>,
}

impl Db {
    /// The alarms in `scope` that `query` wants, the latest start first.
    pub async fn alarms(
        &self,
        scope: &Scope,
        query: &AlarmQuery,
        page: &Page,
    ) -> Result<Paged<AlarmRecord>, DbError> {
        todo!()
    }

    /// One alarm.
    pub async fn alarm(&self, scope: &Scope, id: AlarmId) -> Result<AlarmRecord, DbError> {
        todo!()
    }

    /// Marks an alarm handled by the scope's account, with a note of at most 1,000 characters; a second
    /// time replaces the first.
    pub async fn handle_alarm(
        &self,
        scope: &Scope,
        id: AlarmId,
        note: String,
    ) -> Result<AlarmRecord, DbError> {
        todo!()
    }

    /// Takes back that an alarm was handled.
    pub async fn unhandle_alarm(&self, scope: &Scope, id: AlarmId) -> Result<AlarmRecord, DbError> {
        todo!()
    }
}
