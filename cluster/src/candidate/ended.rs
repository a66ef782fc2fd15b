//! Why a node is no member any more.

use super::Stranger;
use crate::{DIALECT, Incarnation, NodeId};

/// Why a node is no member any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// It was told to leave.
    #[error("node {0} left the cluster")]
    Left(NodeId),
    /// A newer process has its name.
    #[error("another process has joined as node {node}{}", .by.map(|by| format!(" (incarnation {by})")).unwrap_or_default())]
    Replaced {
        /// The name.
        node: NodeId,
        /// The newer process; None where its key cannot be read.
        by: Option<Incarnation>,
    },
    /// The others say other things.
    #[error(
        "node {} (version {}) speaks dialect {}, this node (version {version}) speaks dialect {DIALECT}",
        .other.node, .other.version, .other.dialect
    )]
    Dialect {
        /// This program's version.
        version: String,
        /// One of the others.
        other: Stranger,
    },
}
