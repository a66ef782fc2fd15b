//! Starts the gateway of this process.

use anyhow::{Context, Result};
use cluster::Advertise;

use super::alone;
use super::ground::Ground;

pub(super) async fn start(ground: &Ground) -> Result<gateway::Gateway> {
    let Ground { config, secrets, .. } = ground;
    let mut settings = config.gateway.clone();
    settings.spool_dir = ground.data.join(crate::place::SPOOL);
    settings.redirect_limit_min = config.login.redirect_limit_min;
    settings.redirect_form = config.login.redirect_form;
    let membership = match &ground.member {
        Some(member) => {
            settings.node = member.node().to_string();
            // terminals that are renewed are told it
            settings.advertise = Some(member.dial(settings.advertise.as_ref(), settings.listen));
            member.gateway(secrets.splices()?)
        }
        None => alone::gateway(secrets.splices()?),
    };
    let (codes, trace) = (secrets.auth_codes()?, ground.trace.clone());
    let deps = gateway::Deps { db: ground.db.clone(), events: ground.events(), codes, trace };
    Box::pin(gateway::Gateway::join(settings, deps, membership)).await.context("start the gateway")
}

/// How terminals dial it.
pub(super) fn dial(ground: &Ground, gateway: &gateway::Gateway) -> Advertise {
    let (advertise, bound) = (ground.config.gateway.advertise.as_ref(), gateway.addr());
    match &ground.member {
        Some(member) => member.dial(advertise, bound),
        None => advertise.cloned().unwrap_or(Advertise { host: None, port: bound.port() }),
    }
}

/// Most terminals that it takes.
pub(super) fn limit(ground: &Ground) -> u32 {
    u32::try_from(ground.config.gateway.connections_max).unwrap_or(u32::MAX)
}
