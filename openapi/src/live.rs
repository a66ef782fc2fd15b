//! Asking for a live stream.

use chrono::{DateTime, Utc};
use model::{AvAttributes, Profile, StreamKey, TerminalId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which picture of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveRequest {
    /// Main or sub stream; main where absent.
    #[serde(default)]
    pub profile: Profile,
    /// Which of the vehicle's terminals; its first where absent.
    #[serde(default)]
    pub terminal_id: Option<TerminalId>,
}

/// A live stream, ready to be opened. Nothing was started yet: the first viewer that opens a URL starts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// The stream's name.
    pub stream: StreamKey,
    /// Until when a URL must be opened; a view that runs by then goes on.
    pub expires_at: DateTime<Utc>,
    /// Where it can be opened, each form with its ticket.
    pub urls: LiveUrls,
    /// The terminal's audio and video attributes; null where it is offline or did not say.
    pub av: Option<AvAttributes>,
}

/// The forms in which a stream can be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveUrls {
    /// FLV over HTTP.
    pub http_flv: String,
    /// FLV in WebSocket frames.
    pub ws_flv: String,
    /// HLS with fMP4 segments.
    pub hls: String,
}

/// Which picture a snapshot shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SnapshotQuery {
    /// Main or sub stream; main where absent.
    #[param(inline)]
    pub profile: Option<Profile>,
    /// Which of the vehicle's terminals; its first where absent.
    pub terminal_id: Option<TerminalId>,
}
