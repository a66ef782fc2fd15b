//! `motorcade backup` and `motorcade restore`: the whole platform, database and secrets, out of and into a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use db::private::{PrivateServer, PrivateSettings};

use crate::cli::{Place, runtime, start_log};
use crate::place::Running;
use crate::secrets;

/// `motorcade backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    place: Place,
    /// The folder to write; made, or empty.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

/// `motorcade restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    place: Place,
    /// The folder that `backup` wrote.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
}

/// Works while the platform runs. What it acknowledged before the start is in the copy.
pub(crate) fn backup(what: &Backup) -> Result<()> {
    let config = what.place.config()?;
    start_log(&config.log)?;
    let data = what.place.data_dir()?;
    let to = std::path::absolute(&what.to)?;
    runtime()?.block_on(async {
        let running = Running::reach(&config, &data).await?;
        let copied = db::backup(running.conninfo(), &to).await.context("copy the database");
        running.leave().await?;
        let manifest = copied?;
        copy_secrets(&data, &to)?;
        println!(
            "{} bytes of database (schema {}) in {}",
            manifest.dump_bytes,
            manifest.schema_version,
            to.display()
        );
        Ok(())
    })
}

/// Only into an empty data folder, or an empty database of the configuration.
pub(crate) fn restore(what: &Restore) -> Result<()> {
    let config = what.place.config()?;
    start_log(&config.log)?;
    let data = what.place.data_dir()?;
    let from = std::path::absolute(&what.from)?;
    runtime()?.block_on(async {
        if data.exists() {
            ensure!(fs::read_dir(&data)?.next().is_none(), "the data folder {} is not empty", data.display());
        }
        ensure!(from.join(secrets::FILE).is_file(), "{} holds no {}", from.display(), secrets::FILE);
        let manifest = match &config.database.url {
            Some(url) => db::restore_into(url, &from).await.context("fill the database")?,
            None => PrivateServer::restore(&from, PrivateSettings::new(&data))
                .await
                .context("fill the database")?,
        };
        fs::create_dir_all(&data)?;
        copy_secrets(&from, &data)?;
        println!("database of {} (schema {}) restored", manifest.created_at, manifest.schema_version);
        Ok(())
    })
}

/// The copy keeps the mode: readable by its owner only.
fn copy_secrets(from: &Path, to: &Path) -> Result<()> {
    let name = secrets::FILE;
    fs::copy(from.join(name), to.join(name)).with_context(|| format!("copy {name}"))?;
    fs::File::open(to.join(name))?.sync_all()?;
    Ok(())
}
