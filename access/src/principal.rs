//! A person as every other part sees one: account, scope, permissions.

use std::collections::BTreeSet;

use model::{AccountId, Permission, Scope};

/// Who asks, whose data they may touch, and what they may do. As of some two seconds ago at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub account: AccountId,
    /// Whose data.
    pub scope: Scope,
    /// What they may do.
    pub permissions: BTreeSet<Permission>,
    /// They must change their password before anything else.
    pub must_change_password: bool,
}

impl Principal {
    /// Whether they have this right.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

/// Why a question could not be answered, or the answer is no.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The token or session is none of ours, is over, or its account is gone or disabled.
    #[error("not logged in")]
    Unauthenticated,
    /// The database could not say.
    #[error("the database could not be asked")]
    Db(#[source] Box<dyn std::error::Error + Send + Sync>),
}
