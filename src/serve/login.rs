//! Starts the login server of this process.

use std::sync::Arc;

use anyhow::{Context, Result};
use cluster::dispatch::Dispatch;
use login::Login;

use super::ground::{Ground, Seams};
use crate::viewers::Rights;

pub(super) async fn start(ground: &Ground, seams: &Seams, dispatch: &Dispatch) -> Result<Login> {
    let deps = login::Deps {
        db: ground.db.clone(),
        codes: ground.secrets.auth_codes()?,
        dispatch: dispatch.clone(),
        secret: ground.secrets.splices()?,
        clients: Arc::new(Rights(ground.access.clone())),
        placement: Arc::clone(&seams.placement),
    };
    let admission = ground.config.gateway.admission;
    let settings = login::Settings { admission, ..ground.config.login.clone() };
    Login::start(settings, deps).await.context("start the login server")
}
