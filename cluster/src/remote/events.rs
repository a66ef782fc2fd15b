//! What happens on other nodes, told on this one.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::follow::{Follower, RETRY_AFTER, each};
use super::{Peer, Peers};
use crate::wire::codec::Json;
use crate::wire::message::{EventTold, FollowEvents};
use crate::{Bus, Incarnation, NodeId, NodeInfo, Role};

/// Tells the bus of this node, as long as it lives, what every other gateway, media server and login server tells: the
/// leader, which is one of these, says whose terminals are offline.
pub struct RemoteEvents {
    _task: AbortOnDropHandle<()>,
}

impl RemoteEvents {
    /// Must be called inside a tokio runtime.
    pub fn relay(peers: Arc<Peers>, bus: Arc<Bus>) -> Self {
        Self { _task: each(peers, Arc::new(Relay { bus })) }
    }
}

struct Relay {
    bus: Arc<Bus>,
}

impl Follower for Relay {
    fn wants(&self, info: &NodeInfo) -> bool {
        [Role::Gateway, Role::Media, Role::Login].into_iter().any(|role| info.runs(role))
    }

    async fn follow(self: Arc<Self>, peer: Arc<Peer>, _: Incarnation) {
        let mut is_broken = false;
        loop {
            match peer.follow::<FollowEvents>(Json(())).await {
                Ok(mut told) => {
                    if is_broken {
                        info!("events of {} come again", peer.node());
                    }
                    // Before this the node may have told of things; how many, nobody knows.
                    self.bus.relay_missed(1);
                    while let Some(Ok(Json(events))) = told.next().await {
                        for event in events {
                            match event {
                                EventTold::Event(event) => self.bus.relay(event),
                                EventTold::Lagged(missed) => self.bus.relay_missed(missed),
                            }
                        }
                    }
                    is_broken = true;
                    info!("events of {} do not come any more", peer.node());
                }
                Err(error) if !is_broken => {
                    is_broken = true;
                    info!("events of {} do not come: {error}", peer.node());
                }
                Err(_) => {}
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    fn gone(&self, _: &NodeId) {
        // Its last ones may not have come.
        self.bus.relay_missed(1);
    }
}
