//! The seams between processes: what stands on this node for a part of another one.
//!
//! A caller holds the same trait object as for a part of its own process. Who is in the cluster comes from the
//! [`View`](crate::View); what is said on the wire is in [`wire`](crate::wire).

mod copies;
mod events;
mod follow;
mod heralds;
mod links;
mod lookout;
mod media;
mod peer;
mod peers;
mod terminals;

pub use copies::{CopyMates, RemoteCopies};
pub use events::RemoteEvents;
pub use heralds::RemoteHeralds;
pub use links::{LinksFollowed, RemoteLinks};
pub use lookout::{Lookout, SightingsSeen};
pub use media::RemoteMedia;
pub use peer::{CallError, ConnectError, Peer};
pub use peers::Peers;
pub use terminals::RemoteTerminals;
