//! What the cluster is told of the roles of this process, and what leads it from here.

use std::sync::Arc;

use cluster::dispatch::{Candidates, Dispatch, Gateways};
use cluster::{Holders, Measurement, SightingsSeen, Terminals, Views};
use media::MediaServer;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::ground::Ground;
use super::roles::Roles;
use crate::doors::Doors;
use crate::leader::{Leadership, Own};
use crate::member::{GatewayPart, Joined, MediaPart, Member, Runs};

/// What others may use here.
pub(super) fn runs(
    ground: &Ground,
    roles: Roles,
    doors: &Arc<Doors>,
    gateway: Option<&gateway::Gateway>,
    media: Option<&Arc<MediaServer>>,
    measured: watch::Receiver<Measurement>,
) -> Runs {
    Runs {
        roles: roles.names(),
        bus: Arc::clone(&ground.bus),
        terminals: Arc::clone(doors) as Arc<dyn Terminals>,
        gateway: gateway.map(|gateway| GatewayPart {
            dial: super::gateway::dial(ground, gateway),
            limit: super::gateway::limit(ground),
            links: gateway.links(),
            copies: gateway.copies(),
            control: gateway.control(),
        }),
        media: media
            .map(|server| MediaPart { dial: super::media::dial(ground, server), server: Arc::clone(server) }),
        web: super::api::dial(ground, roles),
        measured,
    }
}

/// Sends terminals to the gateways of the cluster.
pub(super) fn dispatch(member: &Member, joined: &Joined) -> Dispatch {
    let seen = InView { views: member.peers.views().clone(), sightings: joined.lookout.sightings() };
    let dispatch = Dispatch::new(Arc::new(seen), Arc::clone(&member.holding) as Arc<dyn Holders>);
    member.holding.tells(dispatch.arrivals());
    dispatch
}

/// The gateways of the cluster, as this node sees them.
struct InView {
    views: Views,
    sightings: SightingsSeen,
}

impl Gateways for InView {
    fn candidates(&self) -> Candidates {
        Candidates::of(&self.views.borrow(), &self.sightings.borrow())
    }
}

/// Leads whenever this node is the leader.
pub(super) fn lead(
    ground: &Ground,
    member: &Member,
    joined: &Joined,
    gateway: Option<&gateway::Gateway>,
) -> AbortOnDropHandle<()> {
    let leadership = Leadership {
        leads: joined.membership.leads(),
        agreement: joined.membership.agreement(),
        peers: Arc::clone(&member.peers),
        sightings: joined.lookout.sightings(),
        holders: Arc::clone(&member.holding) as Arc<dyn Holders>,
        db: ground.db.clone(),
        bus: Arc::clone(&ground.bus),
        own: gateway.map(|gateway| Own { orders: Arc::new(gateway.control()), copies: gateway.copies() }),
    };
    AbortOnDropHandle::new(tokio::spawn(leadership.run()))
}
