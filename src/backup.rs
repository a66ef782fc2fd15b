//! `motorcade backup` and `motorcade restore`: the whole platform (database, secrets, and what was acknowledged and is
//! not in the database yet), out of and into a folder.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use db::private::{PrivateServer, PrivateSettings};

use crate::cli::{Place, runtime, start_log};
use crate::place::{Running, SPOOL};
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
        let beside = move |to: &Path| {
            copy(&data, to, secrets::FILE)?;
            copy_spool(&data.join(SPOOL), &to.join(SPOOL))
        };
        let copied = db::backup(running.conninfo(), &to, beside).await.context("copy the platform");
        running.leave().await?;
        let manifest = copied?;
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
        copy_spool(&from.join(SPOOL), &data.join(SPOOL)).context("copy the spool")?;
        copy(&from, &data, secrets::FILE).context("copy the secrets")?;
        println!("database of {} (schema {}) restored", manifest.created_at, manifest.schema_version);
        Ok(())
    })
}

/// The segments of the spool. One that goes meanwhile was drained, and is in the dump that is still to come; one that
/// grows is cut where it then ends, behind what was acknowledged before.
fn copy_spool(from: &Path, to: &Path) -> io::Result<()> {
    let files = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    DirBuilder::new().mode(0o700).create(to)?;
    for file in files {
        let name = file?.file_name();
        if Path::new(&name).extension().is_none_or(|extension| extension != "spool") {
            continue;
        }
        match copy(from, to, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
    }
    File::open(to)?.sync_all()
}

/// The copy keeps the mode: readable by its owner only.
fn copy(from: &Path, to: &Path, name: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.join(&name), to.join(&name));
    fs::copy(&from, &to)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", from.display())))?;
    File::open(to)?.sync_all()
}
