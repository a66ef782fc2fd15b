//! Whether each role of this node can do its work now.
//!
//! A role that can do without a part for a time is ready without it: a gateway without the database, as long as it has
//! where to keep what it acknowledges. What each role needs of its own parts it says itself.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Role, Views};
use db::Db;
use media::MediaServer;
use tokio::time::timeout;

/// How long the database may take to answer: less than those wait who ask, which is 10 s where Prometheus does.
const DATABASE_WITHIN: Duration = Duration::from_secs(3);

/// What is looked at: the roles that run here, and what they need.
pub(crate) struct Readiness {
    pub(crate) db: Db,
    /// Whether the database was there once, and was brought up to date then.
    pub(crate) is_up_to_date: Box<dyn Fn() -> bool + Send + Sync>,
    pub(crate) login: Option<login::Control>,
    pub(crate) gateway: Option<gateway::Control>,
    pub(crate) media: Option<Arc<MediaServer>>,
    pub(crate) has_api: bool,
    /// In a cluster only.
    pub(crate) views: Option<Views>,
}

/// The roles that run here, each with why it is not ready.
pub(crate) type Found = Vec<(Role, Result<(), String>)>;

impl Readiness {
    /// Asks the database, and every role.
    pub(crate) async fn look(&self) -> Found {
        let database = self.database().await;
        let mut found = Found::new();
        if let Some(login) = &self.login {
            found.push((Role::Login, self.login(login)));
        }
        if let Some(gateway) = &self.gateway {
            let ready = gateway.ready(database.is_ok());
            found.push((Role::Gateway, ready.map_err(|error| error.to_string())));
        }
        if let Some(media) = &self.media {
            found.push((Role::Media, media.ready().map_err(|error| error.to_string())));
        }
        if self.has_api {
            found.push((Role::Api, database));
        }
        found
    }

    async fn database(&self) -> Result<(), String> {
        if !(self.is_up_to_date)() {
            return Err("the database is not there yet".to_owned());
        }
        match timeout(DATABASE_WITHIN, self.db.healthy()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    fn login(&self, login: &login::Control) -> Result<(), String> {
        if !login.is_listening() {
            return Err("its port takes no connections any more".to_owned());
        }
        let knows_nobody = self.views.as_ref().is_some_and(|views| views.borrow().revision == 0);
        if knows_nobody { Err("no View yet: etcd has not answered".to_owned()) } else { Ok(()) }
    }
}
