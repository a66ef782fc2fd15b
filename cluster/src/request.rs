//! The id of the request of a person or program that is being answered: it goes along with what is asked of other nodes
//! for it, so that their log lines can be found by it.
//!
//! Knows not what a request is; whoever takes one names it.

use std::fmt;
use std::str::FromStr;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// Most characters of an id: room for a UUID and for what others use.
const CHARS_MAX: usize = 64;

/// An id: letters, digits and `-`, at most 64 of them, so that it may stand in any log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Box<str>);

/// It is no id of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has 1 to {CHARS_MAX} letters, digits and -")]
pub struct RequestIdError;

impl RequestId {
    /// That of the request for which this task works, if it is one's. Tasks that it spawns work for nobody.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Does `work` for this request.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

impl FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_one = (1..=CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_one { Ok(Self(text.into())) } else { Err(RequestIdError) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_for_a_request_knows_it_and_other_work_does_not() {
        assert_eq!(RequestId::current(), None);
        let id: RequestId = "0199-a".parse().expect("an id");
        let seen = id.clone().scope(async { RequestId::current() }).await;
        assert_eq!(seen, Some(id));
        assert_eq!(RequestId::current(), None);
    }

    #[test]
    fn what_could_forge_a_log_line_is_no_id() {
        for text in ["", "a b", "a\n", "ä", "\"", &"a".repeat(65)] {
            assert_eq!(text.parse::<RequestId>(), Err(RequestIdError), "{text:?}");
        }
        assert!("a".repeat(64).parse::<RequestId>().is_ok());
    }
}
