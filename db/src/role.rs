//! Roles: named sets of permissions.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{CompanyId, Permission, RoleId, Scope};
use serde_json::json;

use crate::company::{self, Key, keys, seen};
use crate::{Db, DbError, Page, Paged, audit, text};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its key.
    pub id: RoleId,
    /// The company that it belongs to; accounts of that company and below may carry it.
    pub company_id: CompanyId,
    /// Its name, unique in its company.
    pub name: String,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A role to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRole {
    /// Where it belongs.
    pub company_id: CompanyId,
    /// 1 to 100 characters.
    pub name: String,
    /// What it allows.
    pub permissions: BTreeSet<Permission>,
}

/// What to change of a role; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleChange {
    /// Another name.
    pub name: Option<String>,
    /// Other permissions.
    pub permissions: Option<BTreeSet<Permission>>,
}

#[derive(QueryableByName)]
struct RoleRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    company_id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Array<Text>)]
    permissions: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl From<RoleRow> for Role {
    fn from(row: RoleRow) -> Self {
        let RoleRow { id, company_id, name, permissions, created_at } = row;
        Self {
            id: RoleId(id),
            company_id: CompanyId(company_id),
            name,
            permissions: read(&permissions),
            created_at,
        }
    }
}

const COLUMNS: &str = "id, company_id, name, permissions, created_at";
/// Longest name, characters.
const NAME_CHARS_MAX: usize = 100;

impl Db {
    /// The roles in `scope`, by key.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a cursor that is not from this list.
    pub async fn roles(&self, scope: &Scope, page: &Page) -> Result<Paged<Role>, DbError> {
        let (keys, after, rows) = (keys(scope), page.numbers::<1>()?.map_or(0, |[id]| id), page.rows());
        let found = self
            .read(move |conn| {
                Ok(sql_query(format!(
                    "SELECT {COLUMNS} FROM role WHERE id > $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2)) \
                     ORDER BY id LIMIT $3"
                ))
                .bind::<BigInt, _>(after)
                .bind::<Nullable<Array<BigInt>>, _>(keys)
                .bind::<BigInt, _>(rows)
                .load::<RoleRow>(conn)?)
            })
            .await?;
        Ok(page.cut(found.into_iter().map(Role::from).collect(), |role: &Role| [role.id.0]))
    }

    /// One role.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn role(&self, scope: &Scope, id: RoleId) -> Result<Role, DbError> {
        let scope = scope.clone();
        self.read(move |conn| one(conn, &scope, id)).await
    }

    /// The role, where accounts of `company` may carry it: it belongs to that company or to one above it, and
    /// so may lie outside of any scope that sees the company.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn role_for(&self, company: CompanyId, id: RoleId) -> Result<Role, DbError> {
        self.read(move |conn| {
            check_reach(conn, id, company)?;
            one(conn, &Scope::platform(), id)
        })
        .await
    }

    /// Makes a role.
    ///
    /// # Errors
    /// [`DbError::NotFound`] for a company outside `scope`, [`DbError::Conflict`] for a name that is taken.
    pub async fn create_role(&self, scope: &Scope, new: NewRole) -> Result<Role, DbError> {
        seen(scope, new.company_id)?;
        let name = text::given("name", &new.name, NAME_CHARS_MAX)?;
        let permissions = names(&new.permissions);
        let scope = scope.clone();
        self.control(move |conn| {
            company::one(conn, new.company_id)?;
            let made: RoleRow = sql_query(format!(
                "INSERT INTO role (company_id, name, permissions) VALUES ($1, $2, $3) RETURNING {COLUMNS}"
            ))
            .bind::<BigInt, _>(new.company_id.0)
            .bind::<Text, _>(&name)
            .bind::<Array<Text>, _>(&permissions)
            .get_result(conn)?;
            audit::record(
                conn,
                &scope,
                "create",
                "role",
                made.id,
                json!({ "name": name, "permissions": permissions }),
            )?;
            Ok(made.into())
        })
        .await
    }

    /// Changes a role.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] for a name that is taken, or where nobody could manage
    /// accounts any more.
    pub async fn change_role(&self, scope: &Scope, id: RoleId, change: RoleChange) -> Result<Role, DbError> {
        let RoleChange { name, permissions } = change;
        let name = name.map(|name| text::given("name", &name, NAME_CHARS_MAX)).transpose()?;
        let permissions = permissions.map(|permissions| names(&permissions));
        let scope = scope.clone();
        self.control(move |conn| {
            let managed = crate::account::managed(conn)?;
            one(conn, &scope, id)?;
            let is: RoleRow = sql_query(format!(
                "UPDATE role SET name = coalesce($2, name), permissions = coalesce($3, permissions) WHERE id = $1 \
                 RETURNING {COLUMNS}"
            ))
            .bind::<BigInt, _>(id.0)
            .bind::<Nullable<Text>, _>(&name)
            .bind::<Nullable<Array<Text>>, _>(&permissions)
            .get_result(conn)?;
            crate::account::still_managed(conn, managed)?;
            audit::record(conn, &scope, "change", "role", id, json!({ "name": name, "permissions": permissions }))?;
            Ok(is.into())
        })
        .await
    }

    /// Deletes a role that no account carries.
    ///
    /// # Errors
    /// [`DbError::NotFound`]; [`DbError::Conflict`] naming an account that carries it.
    pub async fn delete_role(&self, scope: &Scope, id: RoleId) -> Result<(), DbError> {
        #[derive(QueryableByName)]
        struct Carrier {
            #[diesel(sql_type = Text)]
            name: String,
        }
        let scope = scope.clone();
        self.control(move |conn| {
            let was = one(conn, &scope, id)?;
            let carriers: Vec<Carrier> =
                sql_query("SELECT name FROM account WHERE role_id = $1 ORDER BY id LIMIT 1")
                    .bind::<BigInt, _>(id.0)
                    .load(conn)?;
            if let [carrier] = &carriers[..] {
                return Err(DbError::Conflict(format!(
                    "account {} still has role {}",
                    carrier.name, was.name
                )));
            }
            sql_query("DELETE FROM role WHERE id = $1").bind::<BigInt, _>(id.0).execute(conn)?;
            audit::record(conn, &scope, "delete", "role", id, json!({ "name": was.name }))
        })
        .await
    }
}

fn one(conn: &mut PgConnection, scope: &Scope, id: RoleId) -> Result<Role, DbError> {
    let row: RoleRow = sql_query(format!(
        "SELECT {COLUMNS} FROM role WHERE id = $1 AND ($2::bigint[] IS NULL OR company_id = ANY ($2))"
    ))
    .bind::<BigInt, _>(id.0)
    .bind::<Nullable<Array<BigInt>>, _>(keys(scope))
    .get_result(conn)?;
    Ok(row.into())
}

/// Whether accounts of `company` may carry the role: it belongs to that company or to one above it.
pub(crate) fn check_reach(conn: &mut PgConnection, id: RoleId, company: CompanyId) -> Result<(), DbError> {
    let found: Vec<Key> = sql_query(
        "WITH RECURSIVE up AS (SELECT id, parent_id FROM company WHERE id = $2 \
         UNION SELECT c.id, c.parent_id FROM company c JOIN up ON c.id = up.parent_id) \
         SELECT r.id FROM role r JOIN up ON up.id = r.company_id WHERE r.id = $1",
    )
    .bind::<BigInt, _>(id.0)
    .bind::<BigInt, _>(company.0)
    .load(conn)?;
    if found.is_empty() { Err(DbError::NotFound) } else { Ok(()) }
}

/// Permissions as stored; names that this program does not know grant nothing.
pub(crate) fn read(names: &[String]) -> BTreeSet<Permission> {
    names.iter().filter_map(|name| Permission::from_name(name)).collect()
}

/// Permissions to be stored.
pub(crate) fn names(permissions: &BTreeSet<Permission>) -> Vec<&'static str> {
    permissions.iter().map(|permission| permission.name()).collect()
}
