//! Which server to use: asked for by clients for themselves, and by whoever brings devices of other kinds in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client is looking for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DispatchRequest {
    /// Which kind of server.
    pub role: ClientRole,
}

/// A kind of server that clients dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientRole {
    /// One that serves this API: the one whose machine has least to do.
    Api,
    /// One for viewers: the one with the fewest. Where a certain stream is opened, asking for that stream tells.
    Media,
}

/// The server that a client should use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClientServer {
    /// A name or an address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: ClientProtocol,
    /// Until when it is worth using without asking again; what is opened by then goes on.
    pub expires_at: DateTime<Utc>,
}

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientProtocol {
    /// HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// The gateway that a device should register at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceServer {
    /// A name or an address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: DeviceProtocol,
    /// Whether the device has its link there already.
    pub connected: bool,
    /// Until when the device should have dialled it; asking again till then tells the same, unless the gateway is
    /// gone or drained meanwhile. After that, ask again: another gateway may be told.
    pub expires_at: DateTime<Utc>,
}

/// What a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceProtocol {
    /// JT/T 808 over TCP.
    Jt808,
}
