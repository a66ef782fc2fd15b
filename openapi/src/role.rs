//! Roles: named sets of permissions.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::{CompanyId, Permission, RoleId};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

impl From<db::Role> for Role {
    fn from(row: db::Role) -> Self {
        let db::Role { id, company_id, name, permissions, created_at } = row;
        Self { id, company_id, name, permissions, created_at }
    }
}

/// A role to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// The company that it belongs to.
    pub company_id: CompanyId,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What it allows, each once.
    #[serde(deserialize_with = "each_once")]
    pub permissions: BTreeSet<Permission>,
}

impl From<NewRole> for db::NewRole {
    fn from(new: NewRole) -> Self {
        let NewRole { company_id, name, permissions } = new;
        Self { company_id, name, permissions }
    }
}

/// What to change of a role; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    /// Another name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// Other permissions, each once.
    #[serde(default, deserialize_with = "each_once_or_null")]
    pub permissions: Option<BTreeSet<Permission>>,
}

impl From<RoleChange> for db::RoleChange {
    fn from(change: RoleChange) -> Self {
        let RoleChange { name, permissions } = change;
        Self { name, permissions }
    }
}

fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Permission>, D::Error> {
    distinct(Vec::deserialize(deserializer)?)
}

fn each_once_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<Permission>>, D::Error> {
    Option::deserialize(deserializer)?.map(distinct).transpose()
}

fn distinct<E: Error>(named: Vec<Permission>) -> Result<BTreeSet<Permission>, E> {
    let count = named.len();
    let permissions: BTreeSet<Permission> = named.into_iter().collect();
    if permissions.len() < count { Err(E::custom("a permission is named twice")) } else { Ok(permissions) }
}
