//! Terminals that asked for admission and wait for somebody to approve them.

use chrono::{DateTime, Utc};
use model::{CompanyId, Scope, Sim, VehicleId};

use crate::{Db, DbError, Page, Paged, Registration, Terminal};

/// A terminal that waits. Only those who see the root company see it: it belongs to nobody yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTerminal {
    /// Its phone number.
    pub sim: Sim,
    /// What it said when it last registered.
    pub registration: Registration,
    /// Address of its last link.
    pub peer: String,
    /// When it first asked.
    pub first_seen_at: DateTime<Utc>,
    /// When it last asked.
    pub last_seen_at: DateTime<Utc>,
    /// How often it asked.
    pub attempts: i64,
}

/// Into whose hands an approved terminal goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Whose it becomes.
    pub company_id: CompanyId,
    /// An existing vehicle of that company; None makes a new one.
    pub vehicle_id: Option<VehicleId>,
    /// Plate of a new vehicle; None: the registration's, or the device number where that is empty or taken.
    pub plate: Option<String>,
}

impl Db {
    /// Most terminals that wait; the one that asked longest ago gives way.
    pub const PENDING_TERMINALS_MAX: i64 = 10_000;

    /// The terminals that wait, the latest to ask first.
    pub async fn pending_terminals(
        &self,
        scope: &Scope,
        page: &Page,
    ) -> Result<Paged<PendingTerminal>, DbError> {
        todo!()
    }

    /// Makes a waiting terminal a known one.
    pub async fn approve_terminal(
        &self,
        scope: &Scope,
        sim: &Sim,
        approval: Approval,
    ) -> Result<Terminal, DbError> {
        todo!()
    }

    /// Takes a terminal off the list; it comes back when it asks again.
    pub async fn reject_terminal(&self, scope: &Scope, sim: &Sim) -> Result<(), DbError> {
        todo!()
    }

    /// Notes that an unknown terminal asked for admission (for gateways).
    pub async fn note_pending(
        &self,
        sim: &Sim,
        registration: &Registration,
        peer: &str,
    ) -> Result<(), DbError> {
        todo!()
    }
}
