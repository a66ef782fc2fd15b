//! Companies: the tree of tenants that owns everything else.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::{CompanyId, Scope};

use crate::{Db, DbError, Page, Paged};

/// The company at the root of the tree; the first migration makes it, nobody deletes it.
pub const ROOT_COMPANY: CompanyId = CompanyId(1);

/// A company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    /// Its key.
    pub id: CompanyId,
    /// The company above it; None at the root.
    pub parent_id: Option<CompanyId>,
    /// Its name, unique under its parent.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A company to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCompany {
    /// The company above it.
    pub parent_id: CompanyId,
    /// 1 to 100 characters.
    pub name: String,
}

/// What to change of a company; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompanyChange {
    /// Another parent, not below the company itself.
    pub parent_id: Option<CompanyId>,
    /// Another name.
    pub name: Option<String>,
}

impl Db {
    /// The companies in `scope`, by key.
    pub async fn companies(&self, scope: &Scope, page: &Page) -> Result<Paged<Company>, DbError> {
        todo!()
    }

    /// One company.
    pub async fn company(&self, scope: &Scope, id: CompanyId) -> Result<Company, DbError> {
        todo!()
    }

    /// `id` and every company below it; empty where there is no such company.
    pub async fn companies_below(&self, id: CompanyId) -> Result<BTreeSet<CompanyId>, DbError> {
        todo!()
    }

    /// Makes a company.
    pub async fn create_company(&self, scope: &Scope, new: NewCompany) -> Result<Company, DbError> {
        todo!()
    }

    /// Changes a company.
    pub async fn change_company(
        &self,
        scope: &Scope,
        id: CompanyId,
        change: CompanyChange,
    ) -> Result<Company, DbError> {
        todo!()
    }

    /// Deletes a company that has nothing left in it.
    pub async fn delete_company(&self, scope: &Scope, id: CompanyId) -> Result<(), DbError> {
        todo!()
    }
}
