//! Whose stream a client may open: the question that the HTTP side asks. The answers come from outside this crate.

use async_trait::async_trait;
use model::{Channel, Profile, StreamKey};

/// Why a client is told of no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such session, or its time is over.
    #[error("the session is not valid")]
    Invalid,
    /// The account has no right to live video.
    #[error("no right to watch")]
    Forbidden,
    /// The account sees no such device.
    #[error("no such device")]
    NotFound,
    /// The question could not be answered now.
    #[error("rights cannot be checked right now")]
    Unavailable,
}

/// Who may be told where to go.
#[async_trait]
pub trait Clients: Send + Sync {
    /// The stream of the device number `device` that the holder of a CMSV6 session may watch. `channel` counts from 1
    /// here (CMSV6 counts from 0).
    ///
    /// # Errors
    /// [`Refusal`].
    async fn stream(
        &self,
        session: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<StreamKey, Refusal>;
}
