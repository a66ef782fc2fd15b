//! What the tests of this crate build a cluster of.

use chrono::DateTime;

use crate::{Advertise, Incarnation, Limits, Load, Member, NodeId, NodeInfo, Role, Sighting};

/// The one life of every node here.
pub(crate) const LIFE: Incarnation = Incarnation(7);

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("a name")
}

/// A member that may carry 1,000 terminals.
pub(crate) fn member(name: &str, roles: &[Role]) -> Member {
    let at = |port| Advertise { host: Some(name.to_owned()), port };
    Member {
        info: NodeInfo {
            node: node(name),
            incarnation: LIFE,
            dialect: crate::DIALECT,
            version: "0.1.0".to_owned(),
            roles: roles.to_vec(),
            seams: at(6700),
            gateway: roles.contains(&Role::Gateway).then(|| at(6608)),
            media: None,
            web: None,
            limits: Limits { terminals: 1_000 },
            started_at: DateTime::UNIX_EPOCH,
        },
        is_draining: false,
    }
}

/// It answers, and carries so many terminals.
pub(crate) fn sighting(terminals: u32) -> Sighting {
    Sighting {
        incarnation: LIFE,
        missed: 0,
        load: Load { terminals, ..Load::default() },
        measured_at_ms: 1_000,
        clock_offset_ms: 0,
        is_draining: false,
        copies: Vec::new(),
    }
}
