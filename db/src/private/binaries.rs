//! PostgreSQL's programs: where they are and which major version they are of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PrivateError;

/// Where Debian keeps them, a folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A folder with PostgreSQL's programs.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Those in `folder`, or those that fit what `pgdata` was made by, or the newest.
    pub(super) fn find(folder: Option<&Path>, pgdata: &Path) -> Result<Self, PrivateError> {
        let mut installed = BTreeMap::new();
        for folder in folder.map_or_else(candidates, |folder| vec![folder.to_owned()]) {
            if let Some(major) = major_of(&folder) {
                installed.entry(major).or_insert(folder);
            }
        }
        let newest = installed.last_key_value().map(|(_, folder)| folder.clone());
        let Some(newest) = newest else {
            let looked =
                folder.map_or_else(|| format!("{DEBIAN}/*/bin or the PATH"), |f| f.display().to_string());
            return Err(PrivateError::NoBinaries(looked));
        };
        let Ok(data) = fs::read_to_string(pgdata.join("PG_VERSION")) else {
            return Ok(Self { folder: newest });
        };
        let data = data.trim();
        match data.parse().ok().and_then(|major: u32| installed.get(&major)) {
            Some(folder) => Ok(Self { folder: folder.clone() }),
            None => Err(PrivateError::VersionMismatch {
                folder: pgdata.display().to_string(),
                data: data.to_owned(),
                installed: installed.keys().map(u32::to_string).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// The newest that are installed, for `pg_dump` and `pg_restore`.
    pub(crate) fn newest() -> Result<Self, PrivateError> {
        Self::find(None, Path::new(""))
    }

    /// The path of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Folders that may hold the programs.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = fs::read_dir(DEBIAN)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    folders
}

/// The major version of the programs in `folder`, if it holds a server.
fn major_of(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    // "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
