//! Accounts of people, and what they may.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::{AccountId, CompanyId, Permission, RoleId, Scope};

use crate::{Db, DbError, Page, Paged};

/// A person's account, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// The company that the person works for; they see it and all below.
    pub company_id: CompanyId,
    /// The role that says what they may.
    pub role_id: RoleId,
    /// The name to log in with, unique over the platform whatever its case.
    pub name: String,
    /// Whether the password must be changed before anything else.
    pub must_change_password: bool,
    /// Whether the account may be used.
    pub enabled: bool,
    /// When it stops being usable; None for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// An account with what is needed to check a password. Never leaves the access layer.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub account: Account,
    /// Argon2id of the password, PHC string.
    pub password_hash: String,
    /// Argon2id of the lower-case hexadecimal MD5 of the password, PHC string (for the CMSV6 face).
    pub md5_hash: String,
}

/// What an account may do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The account.
    pub account: Account,
    /// Its company and all below.
    pub companies: BTreeSet<CompanyId>,
    /// What its role allows.
    pub permissions: BTreeSet<Permission>,
}

/// An account to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The company that the person works for.
    pub company_id: CompanyId,
    /// A role of that company or of one above it.
    pub role_id: RoleId,
    /// 1 to 64 characters.
    pub name: String,
    /// Argon2id of the password, PHC string.
    pub password_hash: String,
    /// Argon2id of the lower-case hexadecimal MD5 of the password, PHC string.
    pub md5_hash: String,
    /// Whether the password must be changed at first log-in.
    pub must_change_password: bool,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it stops being usable.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What to change of an account; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// Another company.
    pub company_id: Option<CompanyId>,
    /// Another role.
    pub role_id: Option<RoleId>,
    /// Another name.
    pub name: Option<String>,
    /// Usable or not.
    pub enabled: Option<bool>,
    /// Another end (`Some(None)`: no end).
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

impl Db {
    /// The accounts in `scope`, by key.
    pub async fn accounts(&self, scope: &Scope, page: &Page) -> Result<Paged<Account>, DbError> {
        todo!()
    }

    /// One account.
    pub async fn account(&self, scope: &Scope, id: AccountId) -> Result<Account, DbError> {
        todo!()
    }

    /// Makes an account.
    pub async fn create_account(&self, scope: &Scope, new: NewAccount) -> Result<Account, DbError> {
        todo!()
    }

    /// Changes an account.
    pub async fn change_account(
        &self,
        scope: &Scope,
        id: AccountId,
        change: AccountChange,
    ) -> Result<Account, DbError> {
        todo!()
    }

    /// Sets both hashes of a password and ends every login of the account.
    pub async fn set_password(
        &self,
        scope: &Scope,
        id: AccountId,
        password_hash: String,
        md5_hash: String,
        must_change_password: bool,
    ) -> Result<(), DbError> {
        todo!()
    }

    /// Deletes an account; what it did stays in the record of changes.
    pub async fn delete_account(&self, scope: &Scope, id: AccountId) -> Result<(), DbError> {
        todo!()
    }

    /// The account that logs in as `name` (case does not matter), with its hashes; None where there is none.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>, DbError> {
        todo!()
    }

    /// What an account may now; None where there is no such account. Whether it is enabled and not
    /// expired is the caller's to check.
    pub async fn rights(&self, id: AccountId) -> Result<Option<Rights>, DbError> {
        todo!()
    }

    /// Makes the role `administrator` (every permission) and the account `admin` of the root company
    /// where the platform has no account yet; false where it has one.
    pub async fn create_first_account(
        &self,
        name: &str,
        password_hash: String,
        md5_hash: String,
        must_change_password: bool,
    ) -> Result<bool, DbError> {
        todo!()
    }
}
