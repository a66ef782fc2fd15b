//! What a node is: its name, one life of its process, the roles it runs, where it is reached, what it can carry.
//!
//! Plain words; knows neither how nodes agree nor how they call each other.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Advertise;

/// The version of what nodes say to each other. Nodes of another one are kept out: see [`NodeInfo::speaks`].
pub const DIALECT: u32 = 1;

/// The name of a node: 1 to 40 lower-case letters, digits and `-`, beginning with a letter and not ending with `-`. It
/// stands in the node's certificate, so nobody can take another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(String);

/// Most characters of a node's name: it is one label of a DNS name.
const NODE_CHARS_MAX: usize = 40;

/// Why a text is no name of a node.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no node's name: 1 to 40 of a-z, 0-9 and -, beginning with a letter and not ending with -")]
pub struct NodeIdError(String);

impl NodeId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let is_of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_name = text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text.len() <= NODE_CHARS_MAX
            && text.chars().all(is_of_a_name);
        if is_name { Ok(Self(text.to_owned())) } else { Err(NodeIdError(text.chars().take(80).collect())) }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One life of a node's process. Random, so that two processes under one name are told apart; says nothing about which
/// is the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which leader's word it is: the etcd revision at which its leadership began, so that a later leader has a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Dispatches terminals to gateways; one of them leads the cluster.
    Login,
    /// Terminals' signalling.
    Gateway,
    /// Video in, video out.
    Media,
    /// Open API, CMSV6 face, console.
    Api,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Login, Self::Gateway, Self::Media, Self::Api];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Login => "login",
            Self::Gateway => "gateway",
            Self::Media => "media",
            Self::Api => "api",
        })
    }
}

/// What a node tells the others of itself when it joins; does not change in one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its [`DIALECT`].
    pub dialect: u32,
    /// The program's version, for people.
    pub version: String,
    /// What it does, in the order of [`Role::ALL`].
    pub roles: Vec<Role>,
    /// Where other nodes call it.
    pub seams: Advertise,
    /// Where terminals dial it, if it is a gateway.
    pub gateway: Option<Advertise>,
    /// Where viewers dial it, if it is a media server.
    pub media: Option<crate::MediaServer>,
    /// Where people and programs dial it, if it has the API and knows its port before it joins.
    pub web: Option<crate::WebServer>,
    /// What it can carry.
    pub limits: Limits,
    /// When this life began, by its own clock.
    pub started_at: DateTime<Utc>,
}

impl NodeInfo {
    /// Whether it runs `role`.
    pub fn runs(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether it says the same things as this program.
    pub fn speaks(&self) -> bool {
        self.dialect == DIALECT
    }
}

/// What a node can carry at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Terminals' links, if it is a gateway.
    pub terminals: u32,
}

/// What a node carries now, measured by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Terminals with an authenticated link.
    pub terminals: u32,
    /// Viewers.
    pub viewers: u32,
    /// Share of all processors in use, 0 to 1,000; the whole machine's.
    pub cpu_permille: u16,
    /// Bytes of memory in use, and of all; the whole machine's.
    pub memory_bytes: u64,
    /// Bytes of memory.
    pub memory_max_bytes: u64,
    /// Bytes in use on the disk of the data folder.
    pub storage_bytes: u64,
    /// Bytes of that disk.
    pub storage_max_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_label_of_a_dns_name() {
        for name in ["a", "gw1", "login-a", &"a".repeat(40)] {
            assert_eq!(name.parse::<NodeId>().map(|node| node.to_string()), Ok(name.to_owned()));
        }
        for text in ["", "1a", "-a", "a-", "Gw", "gw_1", "gw.1", "gw/1", "gé", &"a".repeat(41)] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }
}
