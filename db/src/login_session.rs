//! People's logins: families of refresh tokens with rotation, and sessions of the CMSV6 face.
//!
//! Knows only SHA-256 digests of tokens, never the tokens.

use chrono::{DateTime, Utc};
use model::AccountId;
use uuid::Uuid;

use crate::{Db, DbError};

/// What presenting a refresh token led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current one; the new one has taken its place.
    Rotated {
        /// Whose login.
        account: AccountId,
        /// The login.
        family: Uuid,
    },
    /// It had been used before: somebody holds a copy. The login is revoked.
    Reused {
        /// Whose login.
        account: AccountId,
        /// The login.
        family: Uuid,
    },
    /// Nobody's, expired or revoked.
    Unknown,
}

impl Db {
    /// Most logins of one account at a time, and most sessions of the CMSV6 face; the oldest give way.
    pub const LOGINS_PER_ACCOUNT_MAX: i64 = 100;

    /// Opens a login whose first refresh token has the digest `token`.
    pub async fn open_login(
        &self,
        account: AccountId,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<Uuid, DbError> {
        todo!()
    }

    /// Takes the refresh token with digest `presented` for `next`.
    pub async fn rotate_login(
        &self,
        presented: [u8; 32],
        next: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, DbError> {
        todo!()
    }

    /// Whether the login is there, not revoked and not expired at `now`.
    pub async fn login_lasts(&self, family: Uuid, now: DateTime<Utc>) -> Result<bool, DbError> {
        todo!()
    }

    /// Ends the login that the token with digest `token` belongs to; true where there was one.
    pub async fn close_login(&self, token: [u8; 32]) -> Result<bool, DbError> {
        todo!()
    }

    /// Ends every login of an account, sessions of the CMSV6 face too.
    pub async fn close_logins_of(&self, account: AccountId) -> Result<(), DbError> {
        todo!()
    }

    /// Opens a session of the CMSV6 face.
    pub async fn open_jsession(
        &self,
        account: AccountId,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        todo!()
    }

    /// Whose session of the CMSV6 face it is, if it lasts at `now`; it then lasts until `expires_at`.
    pub async fn jsession(
        &self,
        token: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<AccountId>, DbError> {
        todo!()
    }

    /// Ends a session of the CMSV6 face; true where there was one.
    pub async fn close_jsession(&self, token: [u8; 32]) -> Result<bool, DbError> {
        todo!()
    }
}
