//! The seams between roles, what carries them inside one process, and what every role's listeners have in common;
//! and what nodes decide together: who gets a terminal, who holds it, what the leader is to do.
//!
//! A role calls another through a trait object chosen once at start-up; it cannot tell whether the other
//! stands in the same process. Knows no terminal's protocol, no SQL, no HTTP.

mod alone;
mod bus;
mod copies;
pub mod directory;
pub mod dispatch;
mod links;
mod listener;
mod newcomers;
mod node;
pub mod plan;
pub mod proxy;
mod seam;
mod sighting;
#[cfg(test)]
mod testing;
mod view;

pub use alone::Alone;
pub use bus::Bus;
pub use copies::{BATCH_BYTES_MAX, Batch, Copies, CopyError, CopyPeer, CopyPeers};
pub use links::{Holders, LinkChange, LinkChanges, LinkListener, LinkStamp, Links};
pub use listener::{Advertise, Listener, ListenerError};
pub use newcomers::{Newcomer, Newcomers};
pub use node::{DIALECT, Epoch, Incarnation, Limits, Load, NodeId, NodeIdError, NodeInfo, Role};
pub use seam::{EventStream, Events, Lagged, Media, MediaError, MediaServer, Placement, Terminals};
pub use sighting::{CLOCK_OFFSET_MAX_MS, MISSED_MAX, Sighting, Sightings};
pub use view::{Leader, Member, View, Views};
