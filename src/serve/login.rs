//! Starts the login server of this process.

use std::sync::Arc;

use anyhow::{Context, Result};
use cluster::dispatch::Candidates;
use cluster::{SightingsSeen, Views};
use login::Login;

use super::alone;
use super::ground::{Ground, Seams};
use crate::viewers::Rights;

/// `own` is the gateway of this process, if there is one.
pub(super) async fn start(
    ground: &Ground,
    seams: &Seams,
    gateways: &Arc<dyn login::Gateways>,
    own: Option<&gateway::Gateway>,
) -> Result<Login> {
    let deps = login::Deps {
        db: ground.db.clone(),
        codes: ground.secrets.auth_codes()?,
        gateways: Arc::clone(gateways),
        secret: ground.secrets.splices()?,
        clients: Arc::new(Rights(ground.access.clone())),
        placement: Arc::clone(&seams.placement),
    };
    let admission = ground.config.gateway.admission;
    let settings = login::Settings { admission, ..ground.config.login.clone() };
    let login = Login::start(settings, deps).await.context("start the login server")?;
    match (&ground.member, own) {
        (Some(member), _) => member.holding.tells(login.arrivals()),
        (None, Some(gateway)) => alone::tell_arrivals(gateway, login.arrivals()),
        (None, None) => {}
    }
    Ok(login)
}

/// The gateways of the cluster, as this node sees them.
pub(super) struct InView {
    pub(super) views: Views,
    pub(super) sightings: SightingsSeen,
}

impl login::Gateways for InView {
    fn candidates(&self) -> Candidates {
        Candidates::of(&self.views.borrow(), &self.sightings.borrow())
    }
}
