//! A person as every other part sees one: account, scope, permissions; kept for a moment after the database
//! was asked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use db::{Account, DbError, Rights};
use model::{AccountId, Companies, Permission, Scope};
use parking_lot::Mutex;

/// Who asks, whose data they may touch, and what they may do. As of [`Principal::AGE_MAX`] ago at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub account: Account,
    /// Whose data.
    pub scope: Scope,
    /// What they may do.
    pub permissions: BTreeSet<Permission>,
}

impl Principal {
    /// How old an answer about rights may be: so long at most after a right was revoked elsewhere in the
    /// cluster it still holds here.
    pub const AGE_MAX: Duration = Duration::from_secs(2);

    /// Whether they have this right. Nobody has any right before they changed a password that must be changed.
    pub fn may(&self, permission: Permission) -> bool {
        !self.account.must_change_password && self.permissions.contains(&permission)
    }

    /// The person with these rights; None where the account may not be used at `now`.
    fn at(rights: Rights, now: DateTime<Utc>) -> Option<Self> {
        let Rights { account, companies, permissions } = rights;
        if !usable(&account, now) {
            return None;
        }
        let scope = Scope { account: Some(account.id), companies: Companies::Of(Arc::new(companies)) };
        Some(Self { account, scope, permissions })
    }
}

/// Whether an account may be used at `now`: enabled and not expired.
pub(crate) fn usable(account: &Account, now: DateTime<Utc>) -> bool {
    account.enabled && account.expires_at.is_none_or(|end| now < end)
}

/// Why a question was not answered, or the answer is no.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The token or login is none of ours or is over, or its account is gone, disabled or expired.
    #[error("not logged in")]
    Unauthenticated,
    /// Too many passwords are being checked at once.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The database could not say.
    #[error("the database could not say")]
    Db(#[from] DbError),
}

/// Principals kept for a moment, so that a page full of requests asks the database once.
#[derive(Default)]
pub(crate) struct Principals {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<AccountId, (Instant, Principal)>,
    /// Counts changes: an answer that was asked for before a change is not kept.
    changes: u64,
}

/// Principals kept at most; with more people active within two seconds the database is asked more often.
const KEPT_MAX: usize = 10_000;

impl Principals {
    pub(crate) fn fresh(&self, account: AccountId, now: Instant) -> Option<Principal> {
        let kept = self.kept.lock();
        let (since, principal) = kept.entries.get(&account)?;
        (now.saturating_duration_since(*since) < Principal::AGE_MAX).then(|| principal.clone())
    }

    pub(crate) fn changes(&self) -> u64 {
        self.kept.lock().changes
    }

    /// Makes the principal of `rights`, read when [`Self::changes`] was `changes`, and keeps it.
    pub(crate) fn admit(&self, rights: Rights, changes: u64, now: Instant) -> Option<Principal> {
        let principal = Principal::at(rights, Utc::now())?;
        let mut kept = self.kept.lock();
        if kept.changes == changes {
            if kept.entries.len() >= KEPT_MAX {
                kept.entries
                    .retain(|_, (since, _)| now.saturating_duration_since(*since) < Principal::AGE_MAX);
            }
            if kept.entries.len() < KEPT_MAX {
                kept.entries.insert(principal.account.id, (now, principal.clone()));
            }
        }
        Some(principal)
    }

    pub(crate) fn forget(&self) {
        let mut kept = self.kept.lock();
        kept.entries.clear();
        kept.changes += 1;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use model::{CompanyId, RoleId};

    use super::*;

    fn rights() -> Rights {
        let account = Account {
            id: AccountId(7),
            company_id: CompanyId(1),
            role_id: RoleId(1),
            name: "a".into(),
            must_change_password: false,
            enabled: true,
            expires_at: None,
            created_at: Utc::now(),
        };
        Rights { account, companies: [CompanyId(1)].into(), permissions: [Permission::View].into() }
    }

    #[test]
    fn a_disabled_or_expired_account_is_nobody() {
        let now = Utc::now();
        assert!(Principal::at(rights(), now).is_some());
        let mut disabled = rights();
        disabled.account.enabled = false;
        assert_eq!(Principal::at(disabled, now), None);
        let mut expired = rights();
        expired.account.expires_at = Some(now - TimeDelta::seconds(1));
        assert_eq!(Principal::at(expired, now), None);
    }

    #[test]
    fn nobody_has_a_right_before_changing_a_password_that_must_be_changed() {
        let mut fresh = rights();
        fresh.account.must_change_password = true;
        assert!(!Principal::at(fresh, Utc::now()).expect("usable").may(Permission::View));
        assert!(Principal::at(rights(), Utc::now()).expect("usable").may(Permission::View));
    }

    #[test]
    fn an_answer_is_kept_for_a_moment_and_not_over_a_change() {
        let (principals, now) = (Principals::default(), Instant::now());
        let before = principals.changes();
        principals.admit(rights(), before, now);
        assert!(principals.fresh(AccountId(7), now).is_some());
        assert!(principals.fresh(AccountId(7), now + Principal::AGE_MAX).is_none());
        principals.forget();
        assert!(principals.fresh(AccountId(7), now).is_none());
        principals.admit(rights(), before, now);
        assert!(principals.fresh(AccountId(7), now).is_none(), "it was read before the change");
    }
}
