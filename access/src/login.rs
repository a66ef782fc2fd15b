//! Logging in and out: tokens of v1.

use std::time::Duration;

/// What a log-in or a refresh gives.
#[derive(Clone)]
pub struct Tokens {
    /// A JWT, for [`Tokens::LIFETIME_S`].
    pub access: String,
    /// Exchanged, once, for new tokens.
    pub refresh: String,
    /// The password must be changed before anything else.
    pub must_change_password: bool,
}

impl Tokens {
    /// How long an access token is valid, seconds.
    pub const LIFETIME_S: i64 = 15 * 60;
}

/// Why a log-in failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such account, wrong password, or a disabled account: which, is not told.
    #[error("account or password wrong")]
    Wrong,
    /// Too many failures of this account or address.
    #[error("too many attempts")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many passwords are being checked at once.
    #[error("too many log-ins at once")]
    Busy,
    /// The database could not be asked.
    #[error("the database could not be asked")]
    Db(#[source] Box<dyn std::error::Error + Send + Sync>),
}
