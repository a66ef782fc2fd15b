//! Which terminals other gateways hold, told to a listener on this node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::follow::{Follower, RETRY_AFTER, each};
use super::{Peer, Peers};
use crate::wire::codec::Json;
use crate::wire::message::{FollowLinks, LinksTold};
use crate::{Incarnation, LinkListener, NodeId, NodeInfo, Role};

/// Most links of one gateway that are listened to: several times what one can carry.
const LINKS_MAX: usize = 1_000_000;

/// Tells a listener, as long as it lives, what every other gateway tells of its links.
pub struct RemoteLinks {
    followed: LinksFollowed,
    _task: AbortOnDropHandle<()>,
}

/// How many other gateways' links a node is told of at the moment: all that they had, and what changes.
#[derive(Clone, Debug, Default)]
pub struct LinksFollowed(Arc<AtomicUsize>);

impl LinksFollowed {
    /// The number now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) -> OneMore {
        self.0.fetch_add(1, Ordering::Relaxed);
        OneMore(self.clone())
    }
}

/// A gateway that is counted while this lives.
struct OneMore(LinksFollowed);

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RemoteLinks {
    /// Must be called inside a tokio runtime.
    pub fn tell(peers: Arc<Peers>, listener: Arc<dyn LinkListener>) -> Self {
        let followed = LinksFollowed::default();
        let teller = Teller { listener, followed: followed.clone() };
        Self { followed, _task: each(peers, Arc::new(teller)) }
    }

    /// Of how many gateways it tells.
    pub fn followed(&self) -> LinksFollowed {
        self.followed.clone()
    }
}

struct Teller {
    listener: Arc<dyn LinkListener>,
    followed: LinksFollowed,
}

impl Teller {
    /// Until the stream ends; says why.
    async fn listen(&self, peer: &Peer) -> String {
        let mut told = match peer.follow::<FollowLinks>(Json(())).await {
            Ok(told) => told,
            Err(error) => return error.to_string(),
        };
        let mut links = Some(Vec::new());
        let mut _counted = None;
        loop {
            let message = match told.next().await {
                Some(Ok(Json(message))) => message,
                Some(Err(status)) => return status.message().to_owned(),
                None => return "they ended".to_owned(),
            };
            match (message, &mut links) {
                (LinksTold::Some(part), Some(links)) if links.len() + part.len() <= LINKS_MAX => {
                    links.extend(part);
                }
                (LinksTold::All, all @ Some(_)) => {
                    self.listener.told_all(peer.node(), all.take().unwrap_or_default());
                    _counted = Some(self.followed.one_more());
                }
                (LinksTold::Changes(changes), None) => {
                    for change in changes {
                        self.listener.told(peer.node(), change);
                    }
                }
                (LinksTold::Some(_) | LinksTold::All | LinksTold::Changes(_), _) => {
                    return "they are told out of order, or too many".to_owned();
                }
            }
        }
    }
}

impl Follower for Teller {
    fn wants(&self, info: &NodeInfo) -> bool {
        info.runs(Role::Gateway)
    }

    async fn follow(self: Arc<Self>, peer: Arc<Peer>, _: Incarnation) {
        let mut last = None;
        loop {
            let why = self.listen(&peer).await;
            if last.as_ref() != Some(&why) {
                info!("links of {} do not come: {why}", peer.node());
                last = Some(why);
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    fn gone(&self, node: &NodeId) {
        self.listener.gone(node);
    }
}
