//! What the roles of one process stand on, and what they see of the others.

use std::path::PathBuf;
use std::sync::Arc;

use access::Access;
use cluster::dispatch::Dispatch;
use cluster::trace::Trace;
use cluster::{Bus, Events, Nodes, Placement, Terminals};
use db::Db;

use crate::config::Config;
use crate::member::Member;
use crate::secrets::Secrets;

/// There before any role is started.
pub(super) struct Ground {
    pub(super) config: Config,
    /// The data folder.
    pub(super) data: PathBuf,
    pub(super) secrets: Secrets,
    pub(super) db: Db,
    pub(super) access: Access,
    pub(super) bus: Arc<Bus>,
    /// For every HTTP listener, where HTTP is served under TLS.
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// None where the node is alone.
    pub(super) member: Option<Member>,
    pub(super) trace: Trace,
}

/// The seams as the roles of this process see them: what answers may stand here or on another node.
pub(super) struct Seams {
    pub(super) terminals: Arc<dyn Terminals>,
    pub(super) placement: Arc<dyn Placement>,
    pub(super) media: Option<Arc<dyn cluster::Media>>,
    /// None on a node that reaches no gateway.
    pub(super) dispatch: Option<Dispatch>,
    pub(super) nodes: Arc<dyn Nodes>,
}

impl Ground {
    pub(super) fn events(&self) -> Arc<dyn Events> {
        Arc::clone(&self.bus) as Arc<dyn Events>
    }
}
