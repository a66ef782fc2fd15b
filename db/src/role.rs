//! Roles: named sets of permissions.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::{CompanyId, Permission, RoleId, Scope};

use crate::{Db, DbError, Page, Paged};

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

impl Db {
    /// The roles in `scope`, by key.
    pub async fn roles(&self, scope: &Scope, page: &Page) -> Result<Paged<Role>, DbError> {
        todo!()
    }

    /// One role.
    pub async fn role(&self, scope: &Scope, id: RoleId) -> Result<Role, DbError> {
        todo!()
    }

    /// Makes a role.
    pub async fn create_role(&self, scope: &Scope, new: NewRole) -> Result<Role, DbError> {
        todo!()
    }

    /// Changes a role.
    pub async fn change_role(&self, scope: &Scope, id: RoleId, change: RoleChange) -> Result<Role, DbError> {
        todo!()
    }

    /// Deletes a role that no account carries.
    pub async fn delete_role(&self, scope: &Scope, id: RoleId) -> Result<(), DbError> {
        todo!()
    }
}
