//! Terminals: the devices in the vehicles, as people manage them and gateways look them up.

use chrono::{DateTime, Utc};
use model::{CompanyId, Scope, Sim, TerminalId, VehicleId};

use crate::{Db, DbError, Page, Paged, TerminalChannel};

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its key.
    pub id: TerminalId,
    /// Its phone number, the JT/T 808 identity, unique.
    pub sim: Sim,
    /// The number by which people and outside programs name it, unique.
    pub device_no: String,
    /// The vehicle that carries it; None in stock.
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is; the vehicle's company where it is in one.
    pub company_id: CompanyId,
    /// JT/T 808 edition of its last registration or log-in: 2011, 2013 or 2019.
    pub edition: Option<u16>,
    /// Maker id of its registration.
    pub maker: String,
    /// Model of its registration.
    pub model: String,
    /// Terminal id of its registration.
    pub terminal_no: String,
    /// How often its authentication code was revoked; part of the code.
    pub auth_revocations: u32,
    /// Counts its authenticated links; a link with an older epoch is not the current one.
    pub session_epoch: i64,
    /// Whether it has an authenticated link.
    pub online: bool,
    /// The gateway node that holds, or last held, its link.
    pub node: Option<String>,
    /// When it last authenticated, lost its link, or sent a stored report.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Address of its current or last link, as the gateway saw it.
    pub peer: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its channels, by number.
    pub channels: Vec<TerminalChannel>,
}

/// A terminal to be made. It gets [`Db::CHANNELS_DEFAULT`] channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTerminal {
    /// Its phone number.
    pub sim: Sim,
    /// 1 to 32 characters; None: the SIM.
    pub device_no: Option<String>,
    /// The vehicle that carries it.
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is; None: the vehicle's company. One of the two must be given.
    pub company_id: Option<CompanyId>,
}

/// What to change of a terminal; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TerminalChange {
    /// Another number for people.
    pub device_no: Option<String>,
    /// Another vehicle (`Some(None)`: none); it then belongs to the vehicle's company.
    pub vehicle_id: Option<Option<VehicleId>>,
    /// Another company, for a terminal without a vehicle.
    pub company_id: Option<CompanyId>,
    /// Makes every authentication code given so far invalid.
    pub revoke_auth: bool,
}

/// What a terminal says of itself when it registers (JT/T 808 0x0100). Texts are taken as they come:
/// control characters are dropped and long ones cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// Province, GB/T 2260.
    pub province: u16,
    /// City, GB/T 2260.
    pub city: u16,
    /// Maker id.
    pub maker: String,
    /// Model.
    pub model: String,
    /// Terminal id.
    pub terminal_no: String,
    /// Plate; empty where the vehicle has none (then, with colour 0, some put the VIN here).
    pub plate: String,
    /// Colour of the plate, JT/T 697.7.
    pub plate_colour: u8,
    /// JT/T 808 edition: 2011, 2013 or 2019.
    pub edition: Option<u16>,
}

impl Db {
    /// The terminals in `scope`, by key.
    pub async fn terminals(&self, scope: &Scope, page: &Page) -> Result<Paged<Terminal>, DbError> {
        todo!()
    }

    /// One terminal.
    pub async fn terminal(&self, scope: &Scope, id: TerminalId) -> Result<Terminal, DbError> {
        todo!()
    }

    /// The terminal that people call `device_no` (case does not matter).
    pub async fn terminal_by_device_no(&self, scope: &Scope, device_no: &str) -> Result<Terminal, DbError> {
        todo!()
    }

    /// The terminal with this SIM, if it is known (for gateways).
    pub async fn terminal_by_sim(&self, sim: &Sim) -> Result<Option<Terminal>, DbError> {
        todo!()
    }

    /// Makes a terminal.
    pub async fn create_terminal(&self, scope: &Scope, new: NewTerminal) -> Result<Terminal, DbError> {
        todo!()
    }

    /// Changes a terminal.
    pub async fn change_terminal(
        &self,
        scope: &Scope,
        id: TerminalId,
        change: TerminalChange,
    ) -> Result<Terminal, DbError> {
        todo!()
    }

    /// Deletes a terminal with its channels, alarms and latest position; its past positions go with
    /// their days. An online terminal is a conflict.
    pub async fn delete_terminal(&self, scope: &Scope, id: TerminalId) -> Result<(), DbError> {
        todo!()
    }

    /// Notes what a known terminal said when it registered; None where the SIM is unknown.
    pub async fn note_registration(
        &self,
        sim: &Sim,
        registration: &Registration,
    ) -> Result<Option<Terminal>, DbError> {
        todo!()
    }

    /// Open admission: the terminal with this SIM, made under the root company with a vehicle and
    /// [`Db::CHANNELS_DEFAULT`] channels where it is unknown. Plate from the registration, the device
    /// number where that is empty or taken; device number the SIM. A SIM that was pending no longer is.
    pub async fn admit(&self, sim: &Sim, registration: &Registration) -> Result<Terminal, DbError> {
        todo!()
    }
}
