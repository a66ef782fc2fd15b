//! Vehicles, each with the terminals that it carries.

use chrono::{DateTime, Utc};
use model::{CompanyId, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::terminal::Terminal;

/// A vehicle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Vehicle {
    /// Its key.
    pub id: VehicleId,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Licence plate.
    #[schema(example = "京A12345")]
    pub plate: String,
    /// Colour of the plate.
    pub plate_colour: PlateColour,
    /// Its terminals, by key.
    pub terminals: Vec<Terminal>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<db::Vehicle> for Vehicle {
    fn from(row: db::Vehicle) -> Self {
        let db::Vehicle { id, company_id, plate, plate_colour, created_at, terminals } = row;
        Self {
            id,
            company_id,
            plate,
            plate_colour: PlateColour::of(plate_colour),
            terminals: terminals.into_iter().map(Into::into).collect(),
            created_at,
        }
    }
}

/// Colour of a licence plate (JT/T 697.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlateColour {
    /// No plate yet, or not known (0).
    #[default]
    Unknown,
    /// 1.
    Blue,
    /// 2.
    Yellow,
    /// 3.
    Black,
    /// 4.
    White,
    /// 5.
    Green,
    /// 9, and codes that the standard does not name.
    Other,
}

impl PlateColour {
    /// By its code.
    pub fn of(code: u8) -> Self {
        match code {
            0 => Self::Unknown,
            1 => Self::Blue,
            2 => Self::Yellow,
            3 => Self::Black,
            4 => Self::White,
            5 => Self::Green,
            _ => Self::Other,
        }
    }

    /// Its code.
    pub fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Blue => 1,
            Self::Yellow => 2,
            Self::Black => 3,
            Self::White => 4,
            Self::Green => 5,
            Self::Other => 9,
        }
    }
}

/// A vehicle to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVehicle {
    /// Licence plate, 1 to 32 characters, unique over the platform.
    #[schema(min_length = 1, max_length = 32)]
    pub plate: String,
    /// Colour of the plate; unknown where absent.
    #[serde(default)]
    pub plate_colour: PlateColour,
    /// Whose it is.
    pub company_id: CompanyId,
}

impl From<NewVehicle> for db::NewVehicle {
    fn from(new: NewVehicle) -> Self {
        let NewVehicle { plate, plate_colour, company_id } = new;
        Self { plate, plate_colour: plate_colour.code(), company_id }
    }
}

/// What to change of a vehicle; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VehicleChange {
    /// Another plate.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 32)]
    pub plate: Option<String>,
    /// Another colour.
    #[serde(default)]
    pub plate_colour: Option<PlateColour>,
    /// Another company; its terminals go with it, and with these their tracks and alarms.
    #[serde(default)]
    pub company_id: Option<CompanyId>,
}

impl From<VehicleChange> for db::VehicleChange {
    fn from(change: VehicleChange) -> Self {
        let VehicleChange { plate, plate_colour, company_id } = change;
        Self { plate, plate_colour: plate_colour.map(PlateColour::code), company_id }
    }
}

/// Which vehicles to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VehicleQuery {
    /// Only of this company and those below it; 404 for one that the caller does not see.
    pub company_id: Option<CompanyId>,
    /// Only those whose plate, or a terminal's device number or SIM, contains this text, whatever its case.
    #[param(max_length = 64)]
    pub q: Option<String>,
    /// Only those with (true) or without (false) a terminal online.
    pub online: Option<bool>,
    /// The `next_cursor` of the page before; absent: the first page.
    #[param(max_length = 128)]
    pub cursor: Option<String>,
    /// Items a page, 1 to 500; 50 where absent.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
}
