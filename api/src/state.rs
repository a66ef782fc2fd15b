//! What handlers reach for.

use std::sync::Arc;

use access::Access;
use cluster::dispatch::{ClientDispatcher, Dispatch};
use cluster::{Events, Media, Nodes, Placement, Terminals};
use db::{Db, DbError};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::cmsv6::LargeReplies;
use crate::latest::Latest;
use crate::subscribers::Subscribers;

/// Everything that a handler may call.
pub(crate) struct State {
    pub(crate) db: Db,
    pub(crate) access: Access,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) terminals: Arc<dyn Terminals>,
    pub(crate) placement: Arc<dyn Placement>,
    pub(crate) nodes: Arc<dyn Nodes>,
    /// Which gateway a device is sent to; None where none is reached from here.
    pub(crate) dispatch: Option<Dispatch>,
    /// Which server a client is sent to.
    pub(crate) clients: Mutex<ClientDispatcher>,
    pub(crate) media: Option<Arc<dyn Media>>,
    /// Whose each terminal is, and its latest status.
    pub(crate) latest: Latest,
    /// Who holds event streams open.
    pub(crate) subscribers: Arc<Subscribers>,
    /// Whose turn it is to have a large reply built.
    pub(crate) large_replies: LargeReplies,
    /// Ends event streams when the server stops.
    pub(crate) stopping: CancellationToken,
    /// Whether documentation needs no log-in.
    pub(crate) public_docs: bool,
    /// Zone of the times of the CMSV6 face.
    pub(crate) cmsv6_zone: chrono::FixedOffset,
}

impl State {
    /// Accounts, roles or companies changed: what was kept of rights is read anew.
    pub(crate) fn changed(&self) {
        self.access.rights_changed();
    }
}

/// Whether what is kept in memory must be read anew: the change was made, or nobody knows whether it was.
pub(crate) fn may_have_changed<T>(outcome: &Result<T, DbError>) -> bool {
    matches!(outcome, Ok(_) | Err(DbError::OutcomeUnknown))
}
