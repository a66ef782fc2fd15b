//! Starts the API of this process, with the console that it hands out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use api::Api;
use cluster::{Advertise, WebServer};

use super::ground::{Ground, Seams};
use super::roles::Roles;

pub(super) async fn start(ground: &Ground, seams: &Seams, demo: bool) -> Result<Api> {
    let config = &ground.config;
    let settings = api::Settings {
        web: config.web.listener(),
        public_docs: config.web.public_docs.unwrap_or(demo),
        console_dir: config.web.console_dir.clone().or_else(console_dir),
        workers: config.web.workers,
        cmsv6_time_offset_min: config.cmsv6.time_offset_min,
        map: api::Map { tile_url: config.map.tile_url.clone(), attribution: config.map.attribution.clone() },
    };
    let deps = api::Deps {
        db: ground.db.clone(),
        access: ground.access.clone(),
        events: ground.events(),
        terminals: Arc::clone(&seams.terminals),
        nodes: Arc::clone(&seams.nodes),
        placement: Arc::clone(&seams.placement),
        dispatch: seams.dispatch.clone(),
        media: seams.media.clone(),
        tls: ground.tls.clone(),
    };
    Box::pin(Api::start(settings, deps)).await.context("start the API")
}

/// Where people and programs dial this node; None where its port is not known before it is bound.
pub(super) fn dial(ground: &Ground, roles: Roles) -> Option<WebServer> {
    let listener = ground.config.web.listener();
    let advertise = listener.advertise.as_ref();
    let is_told = roles.api && (advertise.is_some() || listener.listen.port() != 0);
    let dial = is_told.then(|| match &ground.member {
        Some(member) => member.dial(advertise, listener.listen),
        None => advertise.cloned().unwrap_or(Advertise { host: None, port: listener.listen.port() }),
    })?;
    Some(WebServer { dial, tls: ground.tls.is_some() })
}

/// The built console: beside the program, where a package puts it, or in the source tree.
fn console_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let beside = program.parent()?;
    [
        beside.join("console"),
        beside.join("../share/motorcade/console"),
        Path::new(env!("CARGO_MANIFEST_DIR")).join("console/dist"),
    ]
    .into_iter()
    .find(|dir| dir.join("index.html").is_file())
}
