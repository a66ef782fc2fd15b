//! The seams between roles, what carries them inside one process and between processes, who the nodes of a cluster are
//! and what they decide together, and what every role's listeners have in common.
//!
//! A role calls another through a trait object chosen once at start-up; it cannot tell whether the other
//! stands in the same process. Knows no wire protocol of terminals, no SQL, no HTTP API.

mod alone;
mod bus;
mod candidate;
mod certs;
mod copies;
mod count;
pub mod directory;
pub mod dispatch;
pub mod etcd;
mod fence;
mod links;
mod listener;
mod newcomers;
mod node;
mod nodes;
mod order;
mod placement;
pub mod plan;
pub mod proxy;
mod remote;
mod rendezvous;
mod request;
mod seam;
mod sighting;
mod stamp;
#[cfg(test)]
mod testing;
mod tls;
pub mod trace;
mod view;
mod wire;

pub use alone::{Alone, AloneNodes, Measurement};
pub use bus::Bus;
pub use candidate::{
    Answer, Call, Candidate, Ended, Lead, LeaderKey, LeaseId, Registration, Request, Sight, Stranger,
};
pub use certs::{Authority, AuthorityError, Issued, has_certificate};
pub use copies::{BATCH_BYTES_MAX, Batch, Copies, CopyError, CopyPeer, CopyPeers};
pub use count::{Counter, Counts, sum_up};
pub use fence::{Fence, OldEpoch};
pub use links::{Holders, LinkChange, LinkChanges, LinkListener, LinkStamp, Links};
pub use listener::{Advertise, Listener, ListenerError};
pub use newcomers::{Newcomer, Newcomers};
pub use node::{DIALECT, Epoch, Incarnation, Limits, Load, NodeId, NodeIdError, NodeInfo, Role};
pub use nodes::{ClusterReport, DrainError, NodeReport, Nodes};
pub use order::{Order, OrderError, Orders};
pub use placement::FromView;
pub use remote::{
    CallError, ConnectError, CopyMates, LinksFollowed, Lookout, Peer, Peers, RemoteCopies, RemoteEvents,
    RemoteHeralds, RemoteLinks, RemoteMedia, RemoteTerminals, SightingsSeen,
};
pub use request::{RequestId, RequestIdError};
pub use seam::{
    EventStream, Events, Lagged, Media, MediaError, MediaServer, Placement, Terminals, WebServer,
};
pub use sighting::{CLOCK_OFFSET_MAX_MS, MISSED_MAX, Sighting, Sightings};
pub use stamp::{CLOCK_MAX_MS, Callers, Stamp, StampError, Stamper};
pub use tls::{CA_FILE, CERTIFICATE_FILE, Credentials, CredentialsError, KEY_FILE, dns_name};
pub use view::{Leader, Member, View, Views};
pub use wire::{NodeServer, NodeStatus, STAMP_HEADER, Served, StatusFn, TRACE_HEADER};
