//! `motorcade migrate`: brings a database's tables up to date.

use anyhow::{Context, Result};
use db::private::{PrivateServer, PrivateSettings};

use crate::cli::{Place, runtime, start_log};

/// Prints the migrations that were applied.
pub fn run(place: &Place) -> Result<()> {
    let config = place.config()?;
    start_log(&config.log)?;
    runtime()?.block_on(async {
        let private = match &config.database.url {
            Some(_) => None,
            None => Some(PrivateServer::start(PrivateSettings::new(place.data_dir()?.join("postgres"))).await?),
        };
        let conninfo = match (&config.database.url, &private) {
            (Some(url), _) => url.as_str(),
            (None, Some(private)) => private.conninfo(),
            (None, None) => unreachable!("one of them was made above"),
        };
        let applied = db::migrate(conninfo).await.context("bring the tables up to date")?;
        for name in &applied {
            println!("{name}");
        }
        if applied.is_empty() {
            eprintln!("nothing to do");
        }
        if let Some(private) = private {
            private.stop().await?;
        }
        Ok(())
    })
}
