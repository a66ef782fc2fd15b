//! What lies where in the data folder, and the database for a command beside `serve`: that of a running platform, or
//! started for the command.

use std::path::Path;

use anyhow::{Context, Result};
use db::private::{PrivateError, PrivateServer, PrivateSettings, running_conninfo};

use crate::config::Config;

/// Folder of the gateway's spool within the data folder.
pub(crate) const SPOOL: &str = "spool";

/// A database that can be reached now.
pub(crate) struct Running {
    conninfo: String,
    /// Started for this command, and stopped after it.
    own: Option<PrivateServer>,
}

impl Running {
    /// The database of the configuration; else the private one, where a running platform has it or started here.
    pub(crate) async fn reach(config: &Config, data: &Path) -> Result<Self> {
        if let Some(url) = &config.database.url {
            return Ok(Self { conninfo: url.clone(), own: None });
        }
        match PrivateServer::start(PrivateSettings::new(data)).await {
            Ok(own) => Ok(Self { conninfo: own.conninfo().to_owned(), own: Some(own) }),
            Err(PrivateError::InUse(_)) => {
                let conninfo = running_conninfo(data).context("find the running platform's PostgreSQL")?;
                Ok(Self { conninfo, own: None })
            }
            Err(error) => Err(error).context("start the private PostgreSQL"),
        }
    }

    /// How libpq reaches it.
    pub(crate) fn conninfo(&self) -> &str {
        &self.conninfo
    }

    /// Stops what was started for the command.
    pub(crate) async fn leave(self) -> Result<()> {
        match self.own {
            Some(own) => own.stop().await.context("stop the private PostgreSQL"),
            None => Ok(()),
        }
    }
}
