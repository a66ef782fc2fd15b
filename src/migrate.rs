//! `motorcade migrate`: brings a database's tables up to date.

use anyhow::{Context, Result};

use crate::cli::{Place, runtime, start_log};
use crate::place::Running;

/// Prints the migrations that were applied.
pub(crate) fn run(place: &Place) -> Result<()> {
    let config = place.config()?;
    start_log(&config.log)?;
    let data = place.data_dir()?;
    runtime()?.block_on(async {
        let running = Running::reach(&config, &data).await?;
        let applied = db::migrate(running.conninfo()).await.context("bring the tables up to date");
        running.leave().await?;
        let applied = applied?;
        for name in &applied {
            println!("{name}");
        }
        if applied.is_empty() {
            eprintln!("nothing to do");
        }
        Ok(())
    })
}
