//! The servers that a terminal dials by itself.

use model::ServerAddress;
use serde::Deserialize;
use utoipa::ToSchema;

/// The servers that a terminal is to dial; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServersChange {
    /// The main server; where there are several (JT/T 808-2019 only), in the order in which they are dialled. All of them
    /// together, as `host:port;host:port`, have at most 255 characters.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 4)]
    pub main: Option<Vec<ServerAddress>>,
    /// The backup, likewise; an empty list: none. Before JT/T 808-2019 it has the main server's port, and is given
    /// together with it.
    #[serde(default)]
    #[schema(max_items = 4)]
    pub backup: Option<Vec<ServerAddress>>,
}
