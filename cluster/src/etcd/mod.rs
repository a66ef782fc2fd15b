//! What the cluster agrees on, kept in etcd: who is a member, who leads, who drains.
//!
//! Under `/motorcade/<cluster>/` stand
//! - `members/<node>`: the node's [`NodeInfo`](crate::NodeInfo) as JSON, under the node's lease;
//! - `leader`: `{"node":…,"incarnation":…}` under the leader's lease; the revision that made it is its epoch;
//! - `draining/<node>`: an operator's mark, under no lease;
//! - `left/<node>`: `{"node":…,"incarnation":…}` of the last life that left of its own accord, under no lease: written in
//!   the step that deletes its member key, deleted by the leader that has written it down.
//!
//! [`Agreement`] asks, [`Book`] reads, [`Membership`] is the task that does both for one node as its
//! [`Candidate`](crate::Candidate) says. Nothing but this folder knows etcd; it decides nothing itself.

mod agreement;
mod book;
mod error;
mod membership;
mod settings;

pub use agreement::{Agreement, Away};
pub use book::Book;
pub use error::EtcdError;
pub use membership::{Membership, Standing};
pub use settings::EtcdSettings;
