//! Starts the login server of this process.

use std::sync::Arc;

use anyhow::{Context, Result};
use cluster::dispatch::Dispatch;
use cluster::trace::{Expects, HeraldHere, Heralds};
use login::Login;

use super::ground::{Ground, Seams};
use crate::viewers::Rights;

/// `own` is the gateway of this process, if there is one.
pub(super) async fn start(
    ground: &Ground,
    seams: &Seams,
    dispatch: &Dispatch,
    own: Option<&gateway::Gateway>,
) -> Result<Login> {
    let deps = login::Deps {
        db: ground.db.clone(),
        codes: ground.secrets.auth_codes()?,
        dispatch: dispatch.clone(),
        secret: ground.secrets.splices()?,
        clients: Arc::new(Rights(ground.access.clone())),
        placement: Arc::clone(&seams.placement),
        trace: ground.trace.clone(),
        heralds: heralds(ground, own),
    };
    let admission = ground.config.gateway.admission;
    let settings = login::Settings { admission, ..ground.config.login.clone() };
    Login::start(settings, deps).await.context("start the login server")
}

/// What tells gateways who is on the way to them.
fn heralds(ground: &Ground, own: Option<&gateway::Gateway>) -> Arc<dyn Heralds> {
    let own = own.map(|gateway| Arc::new(gateway.control()) as Arc<dyn Expects>);
    match &ground.member {
        Some(member) => member.heralds(own),
        None => Arc::new(HeraldHere(own)),
    }
}
