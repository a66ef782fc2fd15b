//! How many large replies are built at once: each is wholly in memory, as rows and as text, before it is sent.

use std::time::Duration;

use openapi::cmsv6::envelope::{Code, Failure};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::reply::failure;

/// So many at once: the longest, a whole track, has some 80 MB of text and as much before.
const AT_ONCE_MAX: usize = 4;
/// Devices up to which their status is no large reply, some 1 MB.
const SMALL_MAX: usize = 1_000;
/// How long a call waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// Whose turn it is.
pub(crate) struct LargeReplies(Semaphore);

impl Default for LargeReplies {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE_MAX))
    }
}

impl LargeReplies {
    /// The turn, to be held while the reply is built; code 6 where it does not come in time.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        match tokio::time::timeout(WAIT, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(failure(Code::Internal, "too many large replies at once")),
        }
    }

    /// The same for a reply about so many devices; None where it is not large.
    pub(super) async fn turn_for(&self, devices: usize) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        if devices > SMALL_MAX { self.turn().await.map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_reply_more_waits_and_is_turned_away() {
        let replies = LargeReplies::default();
        let mut turns = Vec::new();
        for _ in 0..AT_ONCE_MAX {
            turns.push(replies.turn().await.expect("a turn"));
        }
        assert_eq!(replies.turn().await.map(drop).map_err(|failure| failure.result), Err(6));
        assert!(replies.turn_for(SMALL_MAX + 1).await.is_err());
        assert!(replies.turn_for(SMALL_MAX).await.is_ok_and(|turn| turn.is_none()));
        turns.pop();
        assert!(replies.turn_for(SMALL_MAX + 1).await.is_ok_and(|turn| turn.is_some()));
        assert!(replies.turn().await.is_ok());
    }
}
