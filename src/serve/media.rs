//! Starts the media server of this process.

use std::sync::Arc;

use anyhow::{Context, Result};
use cluster::{Advertise, Terminals};
use media::MediaServer;

use super::ground::Ground;
use crate::viewers::Rights;

pub(super) async fn start(ground: &Ground, terminals: &Arc<dyn Terminals>) -> Result<Arc<MediaServer>> {
    let config = &ground.config;
    let settings = media::Settings {
        viewer: config.media.listener(),
        live: config.live.listener(),
        live_host: ground.member.as_ref().map(|member| member.host.clone()),
        live_ports: config.live.ports,
        live_pool_port: config.live.pool_port,
        ..config.media.settings.clone()
    };
    let deps = media::Deps {
        terminals: Arc::clone(terminals),
        events: ground.events(),
        viewers: Arc::new(Rights(ground.access.clone())),
        tls: ground.tls.clone(),
    };
    let started = Box::pin(MediaServer::start(settings, deps)).await;
    Ok(Arc::new(started.context("start the media server")?))
}

/// How viewers dial it.
pub(super) fn dial(ground: &Ground, media: &MediaServer) -> cluster::MediaServer {
    let (advertise, bound) = (ground.config.media.advertise.as_ref(), media.viewer_addr());
    let viewer = match &ground.member {
        Some(member) => member.dial(advertise, bound),
        None => advertise.cloned().unwrap_or(Advertise { host: None, port: bound.port() }),
    };
    cluster::MediaServer { viewer, tls: ground.tls.is_some(), live: live(ground, media) }
}

/// Where terminals send it video.
fn live(ground: &Ground, media: &MediaServer) -> Advertise {
    let (advertise, bound) = (ground.config.live.listener().advertise, media.live_addr());
    match &ground.member {
        Some(member) => member.dial(advertise.as_ref(), bound),
        None => advertise.unwrap_or(Advertise { host: None, port: bound.port() }),
    }
}
