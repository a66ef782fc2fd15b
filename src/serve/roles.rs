//! Which roles this process runs.

use anyhow::{Result, ensure};

use crate::cli::Role;

/// Which roles run.
#[derive(Clone, Copy)]
pub(super) struct Roles {
    pub(super) login: bool,
    pub(super) gateway: bool,
    pub(super) media: bool,
    pub(super) api: bool,
}

impl Roles {
    /// Those that are named; all where none is.
    pub(super) fn of(named: &[Role]) -> Self {
        let runs = |role| named.is_empty() || named.contains(&role);
        Self {
            login: runs(Role::Login),
            gateway: runs(Role::Gateway),
            media: runs(Role::Media),
            api: runs(Role::Api),
        }
    }

    /// Alone, every role works with a gateway of its own process.
    pub(super) fn check(self, is_alone: bool) -> Result<()> {
        ensure!(
            self.gateway || !is_alone,
            "without the role gateway no terminal is reachable: a node that leaves it to others belongs to a cluster \
             (etcd.endpoints)"
        );
        Ok(())
    }

    /// As other nodes are told.
    pub(super) fn names(self) -> Vec<cluster::Role> {
        let runs = |role: &cluster::Role| match role {
            cluster::Role::Login => self.login,
            cluster::Role::Gateway => self.gateway,
            cluster::Role::Media => self.media,
            cluster::Role::Api => self.api,
        };
        cluster::Role::ALL.into_iter().filter(runs).collect()
    }
}
