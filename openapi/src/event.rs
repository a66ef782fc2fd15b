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

/// One event of the event stream (Server-Sent Events, WHATWG HTML section 9.2), by its fields.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct StreamedEvent {
    /// What `data` tells of.
    pub event: StreamedKind,
    /// JSON: of `lagged` a Lagged, of all others a VehicleEvent.
    pub data: String,
}

/// What an event of the event stream tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum StreamedKind {
    /// A position was stored.
    Position,
    /// An alarm began, ended, or was put right.
    Alarm,
    /// A terminal came or went.
    Presence,
    /// A stream's source came, was lost, or ended.
    Stream,
    /// The subscriber missed some events.
    Lagged,
}

/// The subscriber missed some events and should read the state anew: it was too slow, or nobody could say whose they
/// were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lagged {
    /// How many it missed, at most.
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
    /// The stream ends after so many seconds, 1 to 86400; where absent, after 86400: ask again then.
    #[param(minimum = 1, maximum = 86400)]
    pub max_seconds: Option<u32>,
}
