//! Every other node of the View, to be called by name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::{CallError, Peer};
use crate::{Credentials, Epoch, Incarnation, NodeId, Role, Stamper, Views};

/// Those that were called, each in the life in which it was.
type Known = HashMap<NodeId, (Incarnation, Arc<Peer>)>;

/// One [`Peer`] for each node that was called, as long as it is in the View in that life.
pub struct Peers {
    me: NodeId,
    incarnation: Incarnation,
    views: Views,
    credentials: Arc<Credentials>,
    stamper: Arc<Stamper>,
    /// No more entries than members.
    known: Arc<Mutex<Known>>,
    _prune: AbortOnDropHandle<()>,
}

impl Peers {
    /// The nodes of `views`, as the node calls them whose life `incarnation` is. Must be called inside a tokio runtime.
    pub fn new(views: Views, credentials: Arc<Credentials>, incarnation: Incarnation) -> Arc<Self> {
        let me = credentials.node().clone();
        let stamper = Arc::new(Stamper::new(me.clone(), incarnation));
        let known: Arc<Mutex<Known>> = Arc::default();
        let prune = tokio::spawn(prune(views.clone(), Arc::clone(&known)));
        Arc::new(Self {
            me,
            incarnation,
            views,
            credentials,
            stamper,
            known,
            _prune: AbortOnDropHandle::new(prune),
        })
    }

    /// Who calls.
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// The View that says who may be called.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// `node`, in its present life; not connected before it is called.
    ///
    /// # Errors
    /// [`CallError::NotMember`] where the View has no such node, or one that speaks another dialect.
    pub fn peer(&self, node: &NodeId) -> Result<Arc<Peer>, CallError> {
        let view = self.views.borrow().clone();
        let member = view.members.get(node).filter(|member| member.info.speaks());
        let info = &member.ok_or_else(|| CallError::NotMember(node.clone()))?.info;
        let mut known = self.known.lock();
        if let Some((incarnation, peer)) = known.get(node)
            && *incarnation == info.incarnation
        {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new(
            node.clone(),
            info.seams.clone(),
            Arc::clone(&self.credentials),
            Arc::clone(&self.stamper),
        ));
        known.insert(node.clone(), (info.incarnation, Arc::clone(&peer)));
        Ok(peer)
    }

    /// Every other node that runs any of `roles`, once.
    pub fn with_any(&self, roles: &[Role]) -> Vec<Arc<Peer>> {
        let view = self.views.borrow().clone();
        let others = view
            .members
            .values()
            .filter(|member| member.info.node != self.me && roles.iter().any(|role| member.info.runs(*role)));
        others.filter_map(|member| self.peer(&member.info.node).ok()).collect()
    }

    /// Under which epoch this node leads, if it does.
    pub fn own_epoch(&self) -> Option<Epoch> {
        self.views.borrow().is_led_by(&self.me, self.incarnation)
    }

    /// Who leads, unless it is this node or nobody.
    pub fn leader(&self) -> Option<Arc<Peer>> {
        let leader = self.views.borrow().leader.clone()?;
        if leader.node == self.me {
            return None;
        }
        self.peer(&leader.node).ok()
    }
}

/// Lets go of those that left the View; calls under way keep theirs.
async fn prune(mut views: Views, known: Arc<Mutex<Known>>) {
    while views.changed().await.is_ok() {
        let view = views.borrow_and_update().clone();
        known.lock().retain(|node, (incarnation, _)| {
            view.members.get(node).is_some_and(|member| member.info.incarnation == *incarnation)
        });
    }
}
