//! People's logins: families of refresh tokens with rotation, and sessions of the CMSV6 face.
//!
//! Knows only SHA-256 digests of tokens, never the tokens.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, Bool, Timestamptz, Uuid as SqlUuid};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
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

#[derive(QueryableByName)]
struct Family {
    #[diesel(sql_type = SqlUuid)]
    family: Uuid,
    #[diesel(sql_type = BigInt)]
    account_id: i64,
    #[diesel(sql_type = Bool)]
    current: bool,
}

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = BigInt)]
    account_id: i64,
}

/// Earlier tokens of a login that are recognised when they come again.
const PREVIOUS_HASHES_MAX: i64 = 20;

impl Db {
    /// Most logins of one account at a time, and most sessions of the CMSV6 face; the oldest give way.
    pub const LOGINS_PER_ACCOUNT_MAX: i64 = 100;

    /// Opens a login whose first refresh token has the digest `token`.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where there is no such account.
    pub async fn open_login(
        &self,
        account: AccountId,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<Uuid, DbError> {
        let family = Uuid::new_v4();
        self.control(move |conn| {
            lock_account(conn, account)?;
            sql_query("INSERT INTO login_session (family, account_id, token_hash, expires_at) VALUES ($1, $2, $3, $4)")
                .bind::<SqlUuid, _>(family)
                .bind::<BigInt, _>(account.0)
                .bind::<Binary, _>(&token[..])
                .bind::<Timestamptz, _>(expires_at)
                .execute(conn)?;
            bound(conn, "login_session", "family", account)?;
            Ok(family)
        })
        .await
    }

    /// Takes the refresh token with digest `presented` for `next`. One that had been taken before revokes
    /// the login: it was stolen, or its thief was first.
    ///
    /// # Errors
    /// As any query; after [`DbError::OutcomeUnknown`] the login may have to be opened anew.
    pub async fn rotate_login(
        &self,
        presented: [u8; 32],
        next: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, DbError> {
        self.control(move |conn| {
            let found: Vec<Family> = sql_query(
                "SELECT family, account_id, token_hash = $1 AS current FROM login_session \
                 WHERE (token_hash = $1 OR previous_hashes @> ARRAY[$1]) AND revoked_at IS NULL AND expires_at > $2 \
                 FOR UPDATE",
            )
            .bind::<Binary, _>(&presented[..])
            .bind::<Timestamptz, _>(now)
            .load(conn)?;
            let Some(Family { family, account_id, current }) = found.into_iter().next() else {
                return Ok(Rotation::Unknown);
            };
            let account = AccountId(account_id);
            if !current {
                sql_query("UPDATE login_session SET revoked_at = $2 WHERE family = $1")
                    .bind::<SqlUuid, _>(family)
                    .bind::<Timestamptz, _>(now)
                    .execute(conn)?;
                return Ok(Rotation::Reused { account, family });
            }
            sql_query(format!(
                "UPDATE login_session SET token_hash = $2, rotated_at = $3, expires_at = $4, \
                 previous_hashes = (ARRAY[token_hash] || previous_hashes)[1:{PREVIOUS_HASHES_MAX}] WHERE family = $1"
            ))
            .bind::<SqlUuid, _>(family)
            .bind::<Binary, _>(&next[..])
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(expires_at)
            .execute(conn)?;
            Ok(Rotation::Rotated { account, family })
        })
        .await
    }

    /// Whether the login is there, not revoked and not expired at `now`.
    ///
    /// # Errors
    /// As any query.
    pub async fn login_lasts(&self, family: Uuid, now: DateTime<Utc>) -> Result<bool, DbError> {
        self.control(move |conn| {
            let found: Vec<Holder> = sql_query(
                "SELECT account_id FROM login_session WHERE family = $1 AND revoked_at IS NULL AND expires_at > $2",
            )
            .bind::<SqlUuid, _>(family)
            .bind::<Timestamptz, _>(now)
            .load(conn)?;
            Ok(!found.is_empty())
        })
        .await
    }

    /// Ends the login that the token with digest `token` belongs to; true where there was one.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_login(&self, token: [u8; 32]) -> Result<bool, DbError> {
        self.control(move |conn| {
            let ended = sql_query("DELETE FROM login_session WHERE token_hash = $1")
                .bind::<Binary, _>(&token[..])
                .execute(conn)?;
            Ok(ended > 0)
        })
        .await
    }

    /// Ends every login of an account, sessions of the CMSV6 face too.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_logins_of(&self, account: AccountId) -> Result<(), DbError> {
        self.control(move |conn| crate::account::close_logins(conn, account)).await
    }

    /// Opens a session of the CMSV6 face.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where there is no such account.
    pub async fn open_jsession(
        &self,
        account: AccountId,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        self.control(move |conn| {
            lock_account(conn, account)?;
            sql_query("INSERT INTO jsession (token_hash, account_id, expires_at) VALUES ($1, $2, $3)")
                .bind::<Binary, _>(&token[..])
                .bind::<BigInt, _>(account.0)
                .bind::<Timestamptz, _>(expires_at)
                .execute(conn)?;
            bound(conn, "jsession", "token_hash", account)
        })
        .await
    }

    /// Whose session of the CMSV6 face it is, if it lasts at `now`; it then lasts until `expires_at`.
    ///
    /// # Errors
    /// As any query.
    pub async fn jsession(
        &self,
        token: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<AccountId>, DbError> {
        self.control(move |conn| {
            let found: Vec<Holder> = sql_query(
                "UPDATE jsession SET expires_at = greatest(expires_at, $3) WHERE token_hash = $1 AND expires_at > $2 \
                 RETURNING account_id",
            )
            .bind::<Binary, _>(&token[..])
            .bind::<Timestamptz, _>(now)
            .bind::<Timestamptz, _>(expires_at)
            .load(conn)?;
            Ok(found.into_iter().next().map(|holder| AccountId(holder.account_id)))
        })
        .await
    }

    /// Ends a session of the CMSV6 face; true where there was one.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_jsession(&self, token: [u8; 32]) -> Result<bool, DbError> {
        self.control(move |conn| {
            let ended = sql_query("DELETE FROM jsession WHERE token_hash = $1")
                .bind::<Binary, _>(&token[..])
                .execute(conn)?;
            Ok(ended > 0)
        })
        .await
    }
}

/// Keeps the account from going while a login is made for it, and logins of one account one after another.
fn lock_account(conn: &mut PgConnection, account: AccountId) -> Result<(), DbError> {
    let _: Holder = sql_query("SELECT id AS account_id FROM account WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<BigInt, _>(account.0)
        .get_result(conn)?;
    Ok(())
}

/// Drops the account's oldest beyond the bound.
fn bound(conn: &mut PgConnection, table: &str, key: &str, account: AccountId) -> Result<(), DbError> {
    sql_query(format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE account_id = $1 \
         ORDER BY created_at DESC, expires_at DESC OFFSET $2)"
    ))
    .bind::<BigInt, _>(account.0)
    .bind::<BigInt, _>(Db::LOGINS_PER_ACCOUNT_MAX)
    .execute(conn)?;
    Ok(())
}
