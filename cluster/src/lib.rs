//! The seams between roles, what carries them inside one process, and what every role's listeners have in common.
//!
//! A role calls another through a trait object chosen once at start-up; it cannot tell whether the other
//! stands in the same process. Knows no wire protocol, no SQL, no HTTP.

mod alone;
mod bus;
mod listener;
mod newcomers;
mod node;
mod nodes;
mod seam;
mod sighting;
mod view;

pub use alone::{Alone, AloneNodes, Measurement};
pub use bus::Bus;
pub use listener::{Advertise, Listener, ListenerError};
pub use newcomers::{Newcomer, Newcomers};
pub use node::{DIALECT, Epoch, Incarnation, Limits, Load, NodeId, NodeIdError, NodeInfo, Role};
pub use nodes::{ClusterReport, DrainError, NodeReport, Nodes};
pub use seam::{EventStream, Events, Lagged, Media, MediaError, MediaServer, Placement, Terminals};
pub use sighting::{CLOCK_OFFSET_MAX_MS, MISSED_MAX, Sighting, Sightings};
pub use view::{Leader, Member, View, Views};
