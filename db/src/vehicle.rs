//! Vehicles, each with the terminals that it carries.

use chrono::{DateTime, Utc};
use model::{CompanyId, Scope, VehicleId};

use crate::{Db, DbError, Page, Paged, Terminal};

/// A vehicle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vehicle {
    /// Its key.
    pub id: VehicleId,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Licence plate, unique over the platform.
    pub plate: String,
    /// Colour of the plate, JT/T 697.7 (0 unknown or none, 1 blue, 2 yellow, 3 black, 4 white, 5 green, 9 other).
    pub plate_colour: u8,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its terminals, by key.
    pub terminals: Vec<Terminal>,
}

/// A vehicle to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVehicle {
    /// Whose it is.
    pub company_id: CompanyId,
    /// 1 to 32 characters.
    pub plate: String,
    /// Colour of the plate.
    pub plate_colour: u8,
}

/// What to change of a vehicle; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VehicleChange {
    /// Another company; its terminals go with it.
    pub company_id: Option<CompanyId>,
    /// Another plate.
    pub plate: Option<String>,
    /// Another colour.
    pub plate_colour: Option<u8>,
}

/// Which vehicles to list. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VehicleQuery {
    /// Only of this company and those below it.
    pub company_id: Option<CompanyId>,
    /// Only those whose plate, or a terminal's device number or SIM, contains this text, whatever its case.
    pub text: Option<String>,
    /// Only those with (true) or without (false) a terminal online.
    pub online: Option<bool>,
}

impl Db {
    /// The vehicles in `scope` that `query` wants, by key.
    pub async fn vehicles(
        &self,
        scope: &Scope,
        query: &VehicleQuery,
        page: &Page,
    ) -> Result<Paged<Vehicle>, DbError> {
        todo!()
    }

    /// One vehicle.
    pub async fn vehicle(&self, scope: &Scope, id: VehicleId) -> Result<Vehicle, DbError> {
        todo!()
    }

    /// Makes a vehicle.
    pub async fn create_vehicle(&self, scope: &Scope, new: NewVehicle) -> Result<Vehicle, DbError> {
        todo!()
    }

    /// Changes a vehicle.
    pub async fn change_vehicle(
        &self,
        scope: &Scope,
        id: VehicleId,
        change: VehicleChange,
    ) -> Result<Vehicle, DbError> {
        todo!()
    }

    /// Deletes a vehicle that carries no terminal.
    pub async fn delete_vehicle(&self, scope: &Scope, id: VehicleId) -> Result<(), DbError> {
        todo!()
    }
}
