//! Which terminals a gateway holds, as it tells others.
//!
//! Knows neither links themselves nor how what is told comes to other nodes.

use model::TerminalId;
use serde::{Deserialize, Serialize};

/// What orders the links of one terminal: the higher session epoch is the newer one; where one is missing, the later
/// begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStamp {
    /// Its session's epoch; None while the database is away.
    pub epoch: Option<i64>,
    /// When it was authenticated, by the gateway's clock, Unix milliseconds.
    pub since_ms: i64,
}

/// A terminal came to a gateway or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// Which.
    pub terminal: TerminalId,
    /// Of which of its links this is told. A link whose epoch becomes known is told as up once more.
    pub stamp: LinkStamp,
    /// Whether it came.
    pub is_up: bool,
}
