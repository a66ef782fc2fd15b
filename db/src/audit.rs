//! The record of changes: who changed what, written with the change itself.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Json, Jsonb, Nullable, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{AccountId, Scope};

use crate::{Db, DbError, Page, Paged, ROOT_COMPANY};

/// One change that somebody made.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its key, rising.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who; None for the platform itself.
    pub account_id: Option<AccountId>,
    /// What was done: `create`, `change`, `delete`, ...
    pub action: String,
    /// To which kind of thing: `vehicle`, `account`, ...
    pub noun: String,
    /// To which one.
    pub key: String,
    /// What it became, without secrets.
    pub detail: serde_json::Value,
}

#[derive(QueryableByName)]
struct ChangeRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    account_id: Option<i64>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    noun: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Json)]
    detail: serde_json::Value,
}

impl From<ChangeRow> for Change {
    fn from(row: ChangeRow) -> Self {
        let ChangeRow { id, at, account_id, action, noun, key, detail } = row;
        Self { id, at, account_id: account_id.map(AccountId), action, noun, key, detail }
    }
}

impl Db {
    /// The changes, the latest first, for those who see the root company; nothing for others.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn changes(&self, scope: &Scope, page: &Page) -> Result<Paged<Change>, DbError> {
        if !scope.sees(ROOT_COMPANY) {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        }
        let (before, rows) = (page.numbers::<1>()?.map_or(i64::MAX, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                Ok(sql_query(
                    "SELECT id, at, account_id, action, noun, key, detail::json AS detail FROM audit WHERE id < $1 \
                     ORDER BY id DESC LIMIT $2",
                )
                .bind::<BigInt, _>(before)
                .bind::<BigInt, _>(rows)
                .load::<ChangeRow>(conn)?)
            })
            .await?;
        Ok(page.cut(found.into_iter().map(Change::from).collect(), |change: &Change| [change.id]))
    }
}

/// Writes a change into the record, in the transaction of the change.
pub(crate) fn record(
    conn: &mut PgConnection,
    scope: &Scope,
    action: &str,
    noun: &str,
    key: impl ToString,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    sql_query("INSERT INTO audit (account_id, action, noun, key, detail) VALUES ($1, $2, $3, $4, $5)")
        .bind::<Nullable<BigInt>, _>(scope.account.map(|account| account.0))
        .bind::<Text, _>(action)
        .bind::<Text, _>(noun)
        .bind::<Text, _>(key.to_string())
        .bind::<Jsonb, _>(detail)
        .execute(conn)?;
    Ok(())
}
