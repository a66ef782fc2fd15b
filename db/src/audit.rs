//! The record of changes: who changed what, written with the change itself.

use chrono::{DateTime, Utc};
use model::{AccountId, Scope};

use crate::{Db, DbError, Page, Paged};

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

impl Db {
    /// The changes, the latest first, for those who see the root company; nothing for others.
    pub async fn changes(&self, scope: &Scope, page: &Page) -> Result<Paged<Change>, DbError> {
        todo!()
    }
}
