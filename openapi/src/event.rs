//! Events as the API tells them.

use model::{Event, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Something that happened, and to which vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VehicleEvent {
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
    /// The vehicle that the terminal stands in.
    pub vehicle_id: Option<VehicleId>,
}

/// The subscriber was too slow: it missed some events and should read the state anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lagged {
    /// How many it missed.
    pub missed: u64,
}

/// Which events, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Which kinds, separated by commas: position, alarm, presence, stream; all where absent.
    #[param(example = "position,alarm", max_length = 100)]
    pub types: Option<String>,
    /// Only of this vehicle.
    pub vehicle_id: Option<VehicleId>,
    /// The stream ends after so many seconds, 1 to 86400; where absent, when the caller closes it.
    #[param(minimum = 1, maximum = 86400)]
    pub max_seconds: Option<u32>,
}
