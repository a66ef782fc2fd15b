//! What handlers reach for.

use std::sync::Arc;

use access::Access;
use cluster::{Events, Media, Placement, Terminals};
use db::Db;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;

/// Everything that a handler may call.
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) access: Access,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) terminals: Arc<dyn Terminals>,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) media: Option<Arc<dyn Media>>,
    /// Whose each terminal is.
    pub(crate) directory: Arc<Directory>,
    /// Ends event streams when the server stops.
    pub(crate) stopping: CancellationToken,
    /// Whether documentation needs no log-in.
    pub(crate) public_docs: bool,
    /// Zone of the times of the CMSV6 face.
    pub(crate) cmsv6_zone: chrono::FixedOffset,
}

impl State {
    /// Accounts, roles, companies or vehicles changed: what was kept of them is read anew.
    pub(crate) fn changed(&self) {
        self.access.rights_changed();
        self.directory.changed();
    }
}
