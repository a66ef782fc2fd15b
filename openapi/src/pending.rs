//! Terminals that asked for admission and wait for somebody to approve them.

use chrono::{DateTime, Utc};
use model::{CompanyId, Sim, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::vehicle::PlateColour;

/// A terminal that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingTerminal {
    /// Its phone number.
    pub sim: Sim,
    /// Plate that it said it has; empty where none.
    pub plate: String,
    /// Colour of that plate.
    pub plate_colour: PlateColour,
    /// Province, GB/T 2260.
    pub province: u16,
    /// City, GB/T 2260.
    pub city: u16,
    /// Maker id.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Terminal id.
    pub terminal_no: String,
    /// JT/T 808 edition: 2011, 2013 or 2019.
    pub edition: Option<u16>,
    /// Address of its last link.
    pub peer: String,
    /// When it first asked.
    pub first_seen_at: DateTime<Utc>,
    /// When it last asked.
    pub last_seen_at: DateTime<Utc>,
    /// How often it asked.
    pub attempts: i64,
}

impl From<db::PendingTerminal> for PendingTerminal {
    fn from(row: db::PendingTerminal) -> Self {
        let db::PendingTerminal { sim, registration, peer, first_seen_at, last_seen_at, attempts } = row;
        let db::Registration { province, city, maker, model, terminal_no, plate, plate_colour, edition } =
            registration;
        Self {
            sim,
            plate,
            plate_colour: PlateColour::of(plate_colour),
            province,
            city,
            manufacturer: maker,
            model,
            terminal_no,
            edition,
            peer,
            first_seen_at,
            last_seen_at,
            attempts,
        }
    }
}

/// Into whose hands an approved terminal goes.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Whose it becomes.
    pub company_id: CompanyId,
    /// Plate of a new vehicle; what the terminal said, or its device number, where absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 32)]
    pub plate: Option<String>,
    /// An existing vehicle of that company; a new one where absent.
    #[serde(default)]
    pub vehicle_id: Option<VehicleId>,
}

impl From<Approval> for db::Approval {
    fn from(approval: Approval) -> Self {
        let Approval { company_id, plate, vehicle_id } = approval;
        Self { company_id, vehicle_id, plate }
    }
}
