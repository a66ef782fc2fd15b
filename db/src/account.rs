//! Accounts of people, and what they may.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{AccountId, CompanyId, Permission, RoleId, Scope};
use serde_json::json;

use crate::company::{self, Key, keys, seen};
use crate::{Db, DbError, Page, Paged, ROOT_COMPANY, audit, role, text, time};

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

/// Both hashes of a new password. Not to be shown, so without `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword {
    /// Argon2id of the password, PHC string.
    pub password_hash: String,
    /// Argon2id of the lower-case hexadecimal MD5 of the password, PHC string.
    pub md5_hash: String,
}

/// What to change of an account; None leaves as it is.
#[derive(Clone, Default, PartialEq, Eq)]
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
    /// Another password, to be changed at the next log-in; every login of the account ends.
    pub password: Option<NewPassword>,
}

#[derive(QueryableByName)]
struct AccountRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = BigInt)]
    role_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    must_change_password: bool,
    #[diesel(sql_type = Bool)]
    enabled: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<AccountRow> for Account {
    fn from(row: AccountRow) -> Self {
        let AccountRow {
            id,
            company_id,
            role_id,
            name,
            must_change_password,
            enabled,
            expires_at,
            created_at,
        } = row;
        Self {
            id: AccountId(id),
            company_id: CompanyId(company_id),
            role_id: RoleId(role_id),
            name,
            must_change_password,
            enabled,
            expires_at,
            created_at,
        }
    }
}

#[derive(QueryableByName)]
struct HashesRow {
    #[diesel(sql_type = Text)]
    password_hash: String,
    #[diesel(sql_type = Text)]
    md5_hash: String,
}

#[derive(QueryableByName)]
struct PermissionsRow {
    #[diesel(sql_type = Array<Text>)]
    permissions: Vec<String>,
}

const COLUMNS: &str = "id, company_id, role_id, name, must_change_password, enabled, expires_at, created_at";
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;
/// Name of the first account's role.
const FIRST_ROLE: &str = "administrator";

impl Db {
    /// The accounts in `scope`, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn accounts(&self, scope: &Scope, page: &Page) -> Result<Paged<Account>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                Ok(sql_query(format!(
                    "SELECT {COLUMNS} FROM account WHERE id > $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2)) \
                     ORDER BY id LIMIT $3"
                ))
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<BigInt, _>(rows)
                .load::<AccountRow>(conn)?)
            })
            .await?;
        Ok(page.cut(found.into_iter().map(Account::from).collect(), |account: &Account| [account.id.0]))
    }

    /// One account.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn account(&self, scope: &Scope, id: AccountId) -> Result<Account, DbError> {
        let scope = scope.clone();
        self.control(move |conn| one(conn, &scope, id)).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a company outside `scope` or a role out of that company's reach,
    /// [`DbError::Conflict`] for a name that is taken, [`DbError::Invalid`] for one that is none.
    pub async fn create_account(&self, scope: &Scope, new: NewAccount) -> Result<Account, DbError> {
        seen(scope, new.company_id)?;
        let scope = scope.clone();
        self.control(move |conn| {
            company::one(conn, new.company_id)?;
            role::check_reach(conn, new.role_id, new.company_id)?;
            insert(conn, &scope, &new)
        })
        .await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// As [`create_account`](Self::create_account); [`DbError::Conflict`] also where nobody could manage
    /// accounts any more.
    pub async fn change_account(
        &self,
        scope: &Scope,
        id: AccountId,
        change: AccountChange,
    ) -> Result<Account, DbError> {
        let AccountChange { company_id, role_id, name, enabled, expires_at, password } = change;
        if let Some(company) = company_id {
            seen(scope, company)?;
        }
        let name = name.map(|name| text::given("name", &name, NAME_CHARS_MAX)).transpose()?;
        if let Some(Some(end)) = expires_at {
            time::given("expires_at", end)?;
        }
        let scope = scope.clone();
        self.control(move |conn| {
            let managed = managed(conn)?;
            let was = one(conn, &scope, id)?;
            let (company, role) = (company_id.unwrap_or(was.company_id), role_id.unwrap_or(was.role_id));
            company::one(conn, company)?;
            role::check_reach(conn, role, company)?;
            let is: AccountRow = sql_query(format!(
                "UPDATE account SET company_id = $2, role_id = $3, name = coalesce($4, name), \
                 enabled = coalesce($5, enabled), expires_at = $6, password_hash = coalesce($7, password_hash), \
                 md5_hash = coalesce($8, md5_hash), must_change_password = must_change_password OR $7 IS NOT NULL \
                 WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind::<BigInt, _>(id.0)
            .bind::<BigInt, _>(company.0)
            .bind::<BigInt, _>(role.0)
            .bind::<Nullable<Text>, _>(&name)
            .bind::<Nullable<Bool>, _>(enabled)
            .bind::<Nullable<Timestamptz>, _>(expires_at.unwrap_or(was.expires_at))
            .bind::<Nullable<Text>, _>(password.as_ref().map(|new| &new.password_hash))
            .bind::<Nullable<Text>, _>(password.as_ref().map(|new| &new.md5_hash))
            .get_result(conn)?;
            still_managed(conn, managed)?;
            if !is.enabled || password.is_some() {
                close_logins(conn, id)?;
            }
            let detail = json!({
                "company_id": company, "role_id": role, "name": is.name, "enabled": is.enabled,
                "expires_at": is.expires_at, "password": password.is_some(),
            });
            audit::record(conn, &scope, "change", "account", id, detail)?;
            Ok(is.into())
        })
        .await
    }

    /// Sets both hashes of a password and ends every login of the account.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn set_password(
        &self,
        scope: &Scope,
        id: AccountId,
        password_hash: String,
        md5_hash: String,
        must_change_password: bool,
    ) -> Result<(), DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            sql_query(
                "UPDATE account SET password_hash = $2, md5_hash = $3, must_change_password = $4 WHERE id = $1",
            )
            .bind::<BigInt, _>(id.0)
            .bind::<Text, _>(password_hash)
            .bind::<Text, _>(md5_hash)
            .bind::<Bool, _>(must_change_password)
            .execute(conn)?;
            close_logins(conn, id)?;
            audit::record(conn, &scope, "set_password", "account", id, json!({}))
        })
        .await
    }

    /// Sets both hashes of a password where it still has the hash `compared`, and ends every login of the account;
    /// false, and nothing is changed, where it has another since it was compared.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn change_password(
        &self,
        scope: &Scope,
        id: AccountId,
        compared: String,
        new: NewPassword,
    ) -> Result<bool, DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            one(conn, &scope, id)?;
            let NewPassword { password_hash, md5_hash } = new;
            let changed = sql_query(
                "UPDATE account SET password_hash = $3, md5_hash = $4, must_change_password = false \
                 WHERE id = $1 AND password_hash = $2",
            )
            .bind::<BigInt, _>(id.0)
            .bind::<Text, _>(compared)
            .bind::<Text, _>(password_hash)
            .bind::<Text, _>(md5_hash)
            .execute(conn)?;
            if changed == 0 {
                return Ok(false);
            }
            close_logins(conn, id)?;
            audit::record(conn, &scope, "set_password", "account", id, json!({}))?;
            Ok(true)
        })
        .await
    }

    /// Deletes an account; what it did stays in the record of changes.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] where nobody could manage accounts any more.
    pub async fn delete_account(&self, scope: &Scope, id: AccountId) -> Result<(), DbError> {
        let scope = scope.clone();
        self.control(move |conn| {
            let managed = managed(conn)?;
            let was = one(conn, &scope, id)?;
            sql_query("DELETE FROM account WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            still_managed(conn, managed)?;
            audit::record(conn, &scope, "delete", "account", id, json!({ "name": was.name }))
        })
        .await
    }

    /// The account that logs in as `name` (case does not matter), with its hashes; None where there is none.
    ///
    /// # Errors
    /// As any query.
    pub async fn credentials(&self, name: &str) -> Result<Option<Credentials>, DbError> {
        // PostgreSQL takes no zero byte, and no account has such a name
        let Ok(name) = text::given("name", name, NAME_CHARS_MAX) else { return Ok(None) };
        self.control(move |conn| {
            let rows: Vec<(AccountRow, HashesRow)> = sql_query(format!(
                "SELECT {COLUMNS}, password_hash, md5_hash FROM account WHERE lower(name) = lower($1)"
            ))
            .bind::<Text, _>(name)
            .load(conn)?;
            Ok(rows.into_iter().next().map(|(account, HashesRow { password_hash, md5_hash })| Credentials {
                account: account.into(),
                password_hash,
                md5_hash,
            }))
        })
        .await
    }

    /// What an account may now; None where there is no such account. Whether it is enabled and not
    /// expired is the caller's to check.
    ///
    /// # Errors
    /// As any query.
    pub async fn rights(&self, id: AccountId) -> Result<Option<Rights>, DbError> {
        self.control(move |conn| {
            let account = match one(conn, &Scope::platform(), id) {
                Ok(account) => account,
                Err(DbError::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            let role: PermissionsRow = sql_query("SELECT permissions FROM role WHERE id = $1")
                .bind::<BigInt, _>(account.role_id.0)
                .get_result(conn)?;
            let companies = company::below(conn, account.company_id)?;
            Ok(Some(Rights { account, companies, permissions: role::read(&role.permissions) }))
        })
        .await
    }

    /// Makes the role `administrator` (every permission) and an account of the root company that carries
    /// it, where the platform has no account yet; false where it has one.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a name that is none.
    pub async fn create_first_account(
        &self,
        name: &str,
        password_hash: String,
        md5_hash: String,
        must_change_password: bool,
    ) -> Result<bool, DbError> {
        let name = name.to_owned();
        self.control(move |conn| {
            sql_query("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE").execute(conn)?;
            let there: Vec<Key> = sql_query("SELECT id FROM account LIMIT 1").load(conn)?;
            if !there.is_empty() {
                return Ok(false);
            }
            let every = role::names(&Permission::ALL.into_iter().collect());
            let role: Key = sql_query(
                "INSERT INTO role (company_id, name, permissions) VALUES ($1, $2, $3) \
                 ON CONFLICT (company_id, name) DO UPDATE SET permissions = excluded.permissions RETURNING id",
            )
            .bind::<BigInt, _>(ROOT_COMPANY.0)
            .bind::<Text, _>(FIRST_ROLE)
            .bind::<Array<Text>, _>(every)
            .get_result(conn)?;
            let new = NewAccount {
                company_id: ROOT_COMPANY,
                role_id: RoleId(role.id),
                name,
                password_hash,
                md5_hash,
                must_change_password,
                enabled: true,
                expires_at: None,
            };
            insert(conn, &Scope::platform(), &new)?;
            Ok(true)
        })
        .await
    }
}

fn one(conn: &mut PgConnection, scope: &Scope, id: AccountId) -> Result<Account, DbError> {
    let row: AccountRow = sql_query(format!(
        "SELECT {COLUMNS} FROM account WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))"
    ))
    .bind::<BigInt, _>(id.0)
    .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
    .get_result(conn)?;
    Ok(row.into())
}

fn insert(conn: &mut PgConnection, scope: &Scope, new: &NewAccount) -> Result<Account, DbError> {
    let name = text::given("name", &new.name, NAME_CHARS_MAX)?;
    if let Some(end) = new.expires_at {
        time::given("expires_at", end)?;
    }
    let made: AccountRow = sql_query(format!(
        "INSERT INTO account (company_id, role_id, name, password_hash, md5_hash, must_change_password, enabled, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}"
    ))
    .bind::<BigInt, _>(new.company_id.0)
    .bind::<BigInt, _>(new.role_id.0)
    .bind::<Text, _>(&name)
    .bind::<Text, _>(&new.password_hash)
    .bind::<Text, _>(&new.md5_hash)
    .bind::<Bool, _>(new.must_change_password)
    .bind::<Bool, _>(new.enabled)
    .bind::<Nullable<Timestamptz>, _>(new.expires_at)
    .get_result(conn)?;
    let detail =
        json!({ "company_id": new.company_id, "role_id": new.role_id, "name": name, "enabled": new.enabled });
    audit::record(conn, scope, "create", "account", made.id, detail)?;
    Ok(made.into())
}

/// Whether somebody at the root can manage accounts. One change that may end that at a time: two could each
/// count on the other's account.
pub(crate) fn managed(conn: &mut PgConnection) -> Result<bool, DbError> {
    sql_query("LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE").execute(conn)?;
    let managers: Vec<Key> = sql_query(
        "SELECT a.id FROM account a JOIN role r ON r.id = a.role_id WHERE a.enabled AND a.company_id = $1 \
         AND (a.expires_at IS NULL OR a.expires_at > now()) AND $2 = ANY (r.permissions) LIMIT 1",
    )
    .bind::<BigInt, _>(ROOT_COMPANY.0)
    .bind::<Text, _>(Permission::ManageAccounts.name())
    .load(conn)?;
    Ok(!managers.is_empty())
}

/// Refuses a change after which nobody at the root could let anybody in any more.
pub(crate) fn still_managed(conn: &mut PgConnection, before: bool) -> Result<(), DbError> {
    if before && !managed(conn)? {
        return Err(DbError::Conflict("nobody at the root company could manage accounts any more".into()));
    }
    Ok(())
}

/// Ends every login of an account.
pub(crate) fn close_logins(conn: &mut PgConnection, id: AccountId) -> Result<(), DbError> {
    for table in ["login", "opaque_login"] {
        sql_query(format!("DELETE FROM {table} WHERE account_id = $1"))
            .bind::<BigInt, _>(id.0)
            .execute(conn)?;
    }
    Ok(())
}
