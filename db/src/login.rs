//! People's logins: families of refresh tokens with rotation, and opaque logins, which one value stands for (those of
//! the CMSV6 face).
//!
//! Knows only SHA-256 digests of tokens, never the tokens.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Binary, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::AccountId;
use uuid::Uuid;

use crate::{Db, DbError};

/// What presenting a refresh token led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was the current one; the new one has taken its place.
    Rotated,
    /// It is not the current one: it was used before, somebody holds a copy. The login is revoked.
    Reused,
    /// The login is over.
    Over,
}

#[derive(QueryableByName)]
struct Current {
    #[diesel(sql_type = Binary)]
    token_hash: Vec<u8>,
}

#[derive(QueryableByName)]
struct OpaqueLogin {
    #[diesel(sql_type = BigInt)]
    account_id: i64,
    #[diesel(sql_type = Timestamptz)]
    expires_at: DateTime<Utc>,
}

/// By how much an opaque login is extended at least: its clients call every few seconds, and each extension is a
/// commit.
const EXTENSION_MIN: TimeDelta = TimeDelta::minutes(1);

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = BigInt)]
    account_id: i64,
}

impl Db {
    /// Most logins of one account at a time, and most opaque ones; the longest unused give way.
    pub const LOGINS_PER_ACCOUNT_MAX: i64 = 100;

    /// Opens the login `family` whose first refresh token has the digest `token`, for an account whose password
    /// still has the hash `compared`.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where there is no such account, or its password was changed since it was compared.
    pub async fn open_login(
        &self,
        account: AccountId,
        compared: String,
        family: Uuid,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        self.control(move |conn| {
            lock_account(conn, account, &compared)?;
            sql_query(
                "INSERT INTO login (family, account_id, token_hash, expires_at) VALUES ($1, $2, $3, $4)",
            )
            .bind::<SqlUuid, _>(family)
            .bind::<BigInt, _>(account.0)
            .bind::<Binary, _>(&token[..])
            .bind::<Timestamptz, _>(expires_at)
            .execute(conn)?;
            bound(conn, "login", "family", account)
        })
        .await
    }

    /// Whose login it is, if it is there, not revoked and not expired at `now`.
    ///
    /// # Errors
    /// As any query.
    pub async fn login_holder(&self, family: Uuid, now: DateTime<Utc>) -> Result<Option<AccountId>, DbError> {
        self.control(move |conn| {
            let found: Vec<Holder> = sql_query(
                "SELECT account_id FROM login WHERE family = $1 AND revoked_at IS NULL AND expires_at > $2",
            )
            .bind::<SqlUuid, _>(family)
            .bind::<Timestamptz, _>(now)
            .load(conn)?;
            Ok(found.into_iter().next().map(|holder| AccountId(holder.account_id)))
        })
        .await
    }

    /// Takes the refresh token with digest `presented`, which is one of the login `family`, for `next`. Where
    /// it is not the current one, the login is revoked: it was stolen, or its thief was first. Asking again
    /// with the same `next` after [`DbError::OutcomeUnknown`] finds the rotation done, if it was.
    ///
    /// # Errors
    /// As any query.
    pub async fn rotate_login(
        &self,
        family: Uuid,
        presented: [u8; 32],
        next: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Rotation, DbError> {
        self.control(move |conn| {
            let found: Vec<Current> = sql_query(
                "SELECT token_hash FROM login WHERE family = $1 AND revoked_at IS NULL AND expires_at > $2 \
                 FOR UPDATE",
            )
            .bind::<SqlUuid, _>(family)
            .bind::<Timestamptz, _>(now)
            .load(conn)?;
            let Some(Current { token_hash }) = found.into_iter().next() else { return Ok(Rotation::Over) };
            if token_hash == next {
                return Ok(Rotation::Rotated);
            }
            if token_hash != presented {
                sql_query("UPDATE login SET revoked_at = $2 WHERE family = $1")
                    .bind::<SqlUuid, _>(family)
                    .bind::<Timestamptz, _>(now)
                    .execute(conn)?;
                return Ok(Rotation::Reused);
            }
            sql_query("UPDATE login SET token_hash = $2, rotated_at = $3, expires_at = $4 WHERE family = $1")
                .bind::<SqlUuid, _>(family)
                .bind::<Binary, _>(&next[..])
                .bind::<Timestamptz, _>(now)
                .bind::<Timestamptz, _>(expires_at)
                .execute(conn)?;
            Ok(Rotation::Rotated)
        })
        .await
    }

    /// Ends the login; true where there was one.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_login(&self, family: Uuid) -> Result<bool, DbError> {
        self.control(move |conn| {
            let ended =
                sql_query("DELETE FROM login WHERE family = $1").bind::<SqlUuid, _>(family).execute(conn)?;
            Ok(ended > 0)
        })
        .await
    }

    /// Ends every login of an account, opaque ones too.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_logins_of(&self, account: AccountId) -> Result<(), DbError> {
        self.control(move |conn| crate::account::close_logins(conn, account)).await
    }

    /// Opens the opaque login whose value has the digest `token`, for an account whose password still has the hash
    /// `compared`.
    ///
    /// # Errors
    /// As [`open_login`](Self::open_login).
    pub async fn open_opaque_login(
        &self,
        account: AccountId,
        compared: String,
        token: [u8; 32],
        expires_at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        self.control(move |conn| {
            lock_account(conn, account, &compared)?;
            sql_query("INSERT INTO opaque_login (token_hash, account_id, expires_at) VALUES ($1, $2, $3)")
                .bind::<Binary, _>(&token[..])
                .bind::<BigInt, _>(account.0)
                .bind::<Timestamptz, _>(expires_at)
                .execute(conn)?;
            bound(conn, "opaque_login", "token_hash", account)
        })
        .await
    }

    /// Whose opaque login it is, if it lasts at `now`; it then lasts until `expires_at`, where that is a minute or
    /// more later than before, and as long as before where it is not.
    ///
    /// # Errors
    /// As any query.
    pub async fn opaque_login_holder(
        &self,
        token: [u8; 32],
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<Option<AccountId>, DbError> {
        self.control(move |conn| {
            let found: Vec<OpaqueLogin> = sql_query(
                "SELECT account_id, expires_at FROM opaque_login WHERE token_hash = $1 AND expires_at > $2",
            )
            .bind::<Binary, _>(&token[..])
            .bind::<Timestamptz, _>(now)
            .load(conn)?;
            let Some(login) = found.into_iter().next() else { return Ok(None) };
            if expires_at - login.expires_at >= EXTENSION_MIN {
                sql_query(
                    "UPDATE opaque_login SET expires_at = greatest(expires_at, $2) WHERE token_hash = $1",
                )
                .bind::<Binary, _>(&token[..])
                .bind::<Timestamptz, _>(expires_at)
                .execute(conn)?;
            }
            Ok(Some(AccountId(login.account_id)))
        })
        .await
    }

    /// Ends an opaque login; true where there was one.
    ///
    /// # Errors
    /// As any query.
    pub async fn close_opaque_login(&self, token: [u8; 32]) -> Result<bool, DbError> {
        self.control(move |conn| {
            let ended = sql_query("DELETE FROM opaque_login WHERE token_hash = $1")
                .bind::<Binary, _>(&token[..])
                .execute(conn)?;
            Ok(ended > 0)
        })
        .await
    }
}

/// Keeps the account and its password as they are while a login is made for it, and makes logins of one account one
/// after another. A change of the password either ends this login or is seen here.
fn lock_account(conn: &mut PgConnection, account: AccountId, compared: &str) -> Result<(), DbError> {
    let _: Holder = sql_query(
        "SELECT id AS account_id FROM account WHERE id = $1 AND password_hash = $2 FOR NO KEY UPDATE",
    )
    .bind::<BigInt, _>(account.0)
    .bind::<Text, _>(compared)
    .get_result(conn)?;
    Ok(())
}

/// Drops the account's longest unused beyond the bound: a use puts the end off. Never the one that this transaction
/// made, whatever the clocks of those who made the others say.
fn bound(conn: &mut PgConnection, table: &str, key: &str, account: AccountId) -> Result<(), DbError> {
    sql_query(format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE account_id = $1 \
         ORDER BY created_at = now() DESC, expires_at DESC, created_at DESC OFFSET $2)"
    ))
    .bind::<BigInt, _>(account.0)
    .bind::<BigInt, _>(Db::LOGINS_PER_ACCOUNT_MAX)
    .execute(conn)?;
    Ok(())
}
