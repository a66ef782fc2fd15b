//! The seams between roles, what carries them inside one process, who is in the cluster and who leads it, and what every
//! role's listeners have in common.
//!
//! A role calls another through a trait object chosen once at start-up; it cannot tell whether the other
//! stands in the same process. Knows no wire protocol of devices, no SQL, no HTTP.

mod alone;
mod bus;
mod candidate;
pub mod etcd;
mod fence;
mod listener;
mod newcomers;
mod node;
mod seam;
mod view;

pub use alone::Alone;
pub use bus::Bus;
pub use candidate::{
    Answer, Call, Candidate, Ended, Lead, LeaderKey, LeaseId, Registration, Request, Sight, Stranger,
};
pub use fence::{Fence, OldEpoch};
pub use listener::{Advertise, Listener, ListenerError};
pub use newcomers::{Newcomer, Newcomers};
pub use node::{DIALECT, Epoch, Incarnation, Limits, Load, NodeId, NodeIdError, NodeInfo, Role};
pub use seam::{EventStream, Events, Lagged, Media, MediaError, MediaServer, Placement, Terminals};
pub use view::{Leader, Member, View, Views};
