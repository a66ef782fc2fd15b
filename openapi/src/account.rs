//! Accounts of people.

use chrono::{DateTime, Utc};
use model::{AccountId, CompanyId, RoleId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A person's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// The company that the person works for; they see it and all below.
    pub company_id: CompanyId,
    /// The role that says what they may.
    pub role_id: RoleId,
    /// The name to log in with.
    pub name: String,
    /// Whether the password must be changed before anything else.
    pub must_change_password: bool,
    /// Whether the account may be used.
    pub enabled: bool,
    /// When it stops being usable; null for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<db::Account> for Account {
    fn from(row: db::Account) -> Self {
        let db::Account {
            id,
            company_id,
            role_id,
            name,
            must_change_password,
            enabled,
            expires_at,
            created_at,
        } = row;
        Self { id, company_id, role_id, name, must_change_password, enabled, expires_at, created_at }
    }
}

/// An account to be made.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The company that the person works for.
    pub company_id: CompanyId,
    /// A role of that company or of one above it.
    pub role_id: RoleId,
    /// The name to log in with, 1 to 64 characters, unique over the platform whatever its case.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// 8 to 256 bytes.
    #[schema(min_length = 8, max_length = 256, format = Password)]
    pub password: String,
    /// Whether the password must be changed at first log-in; false where absent.
    #[serde(default)]
    pub must_change_password: bool,
    /// When the account stops being usable; absent or null for never.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
}

/// What to change of an account; what is absent stays.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Another company.
    #[serde(default)]
    pub company_id: Option<CompanyId>,
    /// Another role.
    #[serde(default)]
    pub role_id: Option<RoleId>,
    /// Another name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// Usable or not.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Another end; null for none.
    #[serde(default, deserialize_with = "crate::present")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub expires_at: Option<Option<DateTime<Utc>>>,
    /// Another password, 8 to 256 bytes; it must be changed at the next log-in, and all logins end.
    #[serde(default)]
    #[schema(min_length = 8, max_length = 256, format = Password)]
    pub password: Option<String>,
}
