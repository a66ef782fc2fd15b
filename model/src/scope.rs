//! Whose data a request may touch, and what it may do.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{AccountId, CompanyId};

/// The companies that a request may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Companies {
    /// Every company (the platform's own acts).
    All,
    /// These and no others: a company and all below it.
    Of(Arc<BTreeSet<CompanyId>>),
}

/// Whose data a request may touch. Every query on behalf of a person takes one; what lies outside is
/// not found, never forbidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Who asks; None for the platform itself.
    pub account: Option<AccountId>,
    /// What they may see.
    pub companies: Companies,
}

impl Scope {
    /// The platform's own acts: no person, every company.
    pub fn platform() -> Self {
        Self { account: None, companies: Companies::All }
    }

    /// Whether data of `company` may be seen.
    pub fn sees(&self, company: CompanyId) -> bool {
        match &self.companies {
            Companies::All => true,
            Companies::Of(set) => set.contains(&company),
        }
    }
}

/// A right. A role is a set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// See vehicles, terminals, channels, positions and alarms.
    View,
    /// Watch live video, take snapshots.
    Live,
    /// Handle alarms.
    HandleAlarms,
    /// Add, change, delete vehicles and terminals; approve pending terminals.
    ManageVehicles,
    /// Add, change, delete companies, accounts and roles.
    ManageAccounts,
    /// Read and set what terminals keep themselves: the servers that they dial.
    ConfigureTerminals,
}

impl Permission {
    /// Every right.
    pub const ALL: [Self; 6] = [
        Self::View,
        Self::Live,
        Self::HandleAlarms,
        Self::ManageVehicles,
        Self::ManageAccounts,
        Self::ConfigureTerminals,
    ];

    /// As stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Live => "live",
            Self::HandleAlarms => "handle_alarms",
            Self::ManageVehicles => "manage_vehicles",
            Self::ManageAccounts => "manage_accounts",
            Self::ConfigureTerminals => "configure_terminals",
        }
    }

    /// The right with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.name() == name)
    }
}
