//! Companies: the tree of tenants.

use chrono::{DateTime, Utc};
use model::CompanyId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A company.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Company {
    /// Its key.
    pub id: CompanyId,
    /// The company above it; null at the root.
    pub parent_id: Option<CompanyId>,
    /// Its name, unique under its parent.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<db::Company> for Company {
    fn from(row: db::Company) -> Self {
        let db::Company { id, parent_id, name, created_at } = row;
        Self { id, parent_id, name, created_at }
    }
}

/// A company to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCompany {
    /// The company above it.
    pub parent_id: CompanyId,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
}

impl From<NewCompany> for db::NewCompany {
    fn from(new: NewCompany) -> Self {
        let NewCompany { parent_id, name } = new;
        Self { parent_id, name }
    }
}

/// What to change of a company; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompanyChange {
    /// Another company above it.
    #[serde(default)]
    pub parent_id: Option<CompanyId>,
    /// Another name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
}

impl From<CompanyChange> for db::CompanyChange {
    fn from(change: CompanyChange) -> Self {
        let CompanyChange { parent_id, name } = change;
        Self { parent_id, name }
    }
}
