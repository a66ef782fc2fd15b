//! Who may watch: the question that the viewer port asks. The answers come from outside this crate.

use async_trait::async_trait;
use model::{AccountId, Channel, Profile, StreamKey, TerminalId};

/// Why somebody may not watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The ticket or login is no such thing: not signed by us, or garbled.
    #[error("the ticket is not valid")]
    Invalid,
    /// It was one, but its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// It is for another stream.
    #[error("the ticket is for another stream")]
    OtherStream,
    /// The account has no right to live video.
    #[error("no right to watch")]
    Forbidden,
    /// The account sees no such terminal or channel.
    #[error("no such stream")]
    NotFound,
    /// The question could not be answered now.
    #[error("rights cannot be checked right now")]
    Unavailable,
}

/// Opens views and checks again whether a running one still may run.
#[async_trait]
pub trait Viewers: Send + Sync {
    /// Whose view `ticket` opens, if it is a valid ticket for `stream`.
    async fn open(&self, ticket: &str, stream: &StreamKey) -> Result<AccountId, Refusal>;

    /// Whose view an opaque login (that of a CMSV6 client) opens on the device number `device`, and of which
    /// stream. `channel` counts from 1 here (CMSV6 counts from 0).
    async fn open_by_login(
        &self,
        login: &str,
        device: &str,
        channel: Channel,
        profile: Profile,
    ) -> Result<(AccountId, StreamKey), Refusal>;

    /// Whether `account` may still watch `terminal`. [`Refusal::Unavailable`] lets a running view go on.
    async fn recheck(&self, account: AccountId, terminal: TerminalId) -> Result<(), Refusal>;
}
