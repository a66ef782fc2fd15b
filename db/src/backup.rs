//! Backups: a logical dump in a folder of its own, with a manifest.
//!
//! A dump by `pg_dump` reads into any later major version of PostgreSQL and into any later motorcade. Where
//! the connection needs a password, give it by a password file: what stands in the URL is seen by whoever
//! lists processes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Integer};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::private::{Binaries, PrivateError, tail};
use crate::{DbError, migration};

const MANIFEST: &str = "manifest.json";
const DUMP: &str = "motorcade.dump";
const FORMAT: u32 = 1;

/// What stands beside a dump. Written last: a folder without it is no backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Layout of the folder, 1.
    pub format: u32,
    /// When the dump began.
    pub created_at: DateTime<Utc>,
    /// Version of motorcade that wrote it.
    pub motorcade_version: String,
    /// Major version of the PostgreSQL server.
    pub postgres_major: u32,
    /// The newest migration that had run.
    pub schema_version: String,
    /// Length of the dump, bytes.
    pub dump_bytes: u64,
    /// SHA-256 of the dump, hexadecimal.
    pub dump_sha256: String,
}

/// Why a backup could not be taken or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target folder or database has something in it.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// The folder holds no whole backup.
    #[error("{folder} holds no backup: {why}")]
    NotABackup {
        /// Which folder.
        folder: String,
        /// What is wrong.
        why: String,
    },
    /// The backup is of a version that this program or server does not know.
    #[error("the backup is of {0}, which is newer than what is installed")]
    TooNew(String),
    /// The database failed.
    #[error("database")]
    Db(#[from] DbError),
    /// The private server or one of its programs failed.
    #[error("private server")]
    Private(#[from] PrivateError),
    /// A file could not be handled.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl BackupError {
    fn io(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        move |source| Self::Io { doing, source }
    }
}

/// Dumps the database at `conninfo` into the folder `to`, which must be empty or not exist. The folder is
/// readable by its owner only. The platform may go on working. `beside` puts what belongs beside the dump into the
/// folder before the dump begins: what goes from there into the database meanwhile is then in both.
///
/// # Errors
/// See [`BackupError`].
pub async fn backup(
    conninfo: &str,
    to: &Path,
    beside: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
) -> Result<Manifest, BackupError> {
    let schema_version = migration::schema_version(conninfo).await?.unwrap_or_default();
    let (conninfo, to) = (conninfo.to_owned(), to.to_owned());
    blocking(move || {
        let created_at = Utc::now();
        empty_folder(&to)?;
        beside(&to).map_err(BackupError::io("write beside the dump in", &to))?;
        let postgres_major = postgres_major(&mut migration::connect(&conninfo)?)?;
        let dump = to.join(DUMP);
        // made by us, for us alone, before pg_dump writes to it
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&dump);
        let file = file.map_err(BackupError::io("make", &dump))?;
        let mut program = Command::new(Binaries::newest()?.program("pg_dump"));
        program.args(["--format=custom", "--no-owner", "--no-privileges", "--file"]).arg(&dump);
        run("pg_dump", program.arg("--dbname").arg(&conninfo))?;
        file.sync_all().map_err(BackupError::io("sync", &dump))?;
        let (dump_bytes, dump_sha256) = digest(&dump)?;
        let manifest = Manifest {
            format: FORMAT,
            created_at,
            motorcade_version: env!("CARGO_PKG_VERSION").to_owned(),
            postgres_major,
            schema_version,
            dump_bytes,
            dump_sha256,
        };
        write_manifest(&to, &manifest)?;
        Ok(manifest)
    })
    .await
}

/// Restores the backup in the folder `from` into the database at `conninfo`, which must be empty. Bring
/// it up to this program's schema afterwards: [`crate::migrate`].
///
/// # Errors
/// See [`BackupError`]. After an error the database holds nothing: all is done in one transaction.
pub async fn restore_into(conninfo: &str, from: &Path) -> Result<Manifest, BackupError> {
    let manifest = check(from).await?;
    let (conninfo, dump) = (conninfo.to_owned(), from.join(DUMP));
    blocking(move || {
        let mut conn = migration::connect(&conninfo)?;
        if tables(&mut conn)? > 0 {
            return Err(BackupError::NotEmpty("the database".into()));
        }
        if manifest.postgres_major > postgres_major(&mut conn)? {
            return Err(BackupError::TooNew(format!("PostgreSQL {}", manifest.postgres_major)));
        }
        drop(conn);
        let mut program = Command::new(Binaries::newest()?.program("pg_restore"));
        program.args([
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            "--single-transaction",
            "--dbname",
        ]);
        run("pg_restore", program.arg(&conninfo).arg(&dump))?;
        Ok(manifest)
    })
    .await
}

/// Whether the folder holds a whole backup that this program can restore.
pub(crate) async fn check(from: &Path) -> Result<Manifest, BackupError> {
    let from = from.to_owned();
    blocking(move || {
        let no_backup = |why: String| BackupError::NotABackup { folder: from.display().to_string(), why };
        let text =
            fs::read(from.join(MANIFEST)).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(BackupError::TooNew(format!("format {}", manifest.format)));
        }
        if !migration::known()?.contains(&manifest.schema_version) {
            return Err(BackupError::TooNew(format!("motorcade {}", manifest.motorcade_version)));
        }
        if digest(&from.join(DUMP))? != (manifest.dump_bytes, manifest.dump_sha256.clone()) {
            return Err(no_backup(format!("{DUMP} is not what the manifest says")));
        }
        Ok(manifest)
    })
    .await
}

fn empty_folder(folder: &Path) -> Result<(), BackupError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut entries = fs::read_dir(folder).map_err(BackupError::io("list", folder))?;
            match entries.next() {
                Some(_) => Err(BackupError::NotEmpty(folder.display().to_string())),
                None => Ok(()),
            }
        }
        made => made.map_err(BackupError::io("make the folder", folder)),
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let path = folder.join(MANIFEST);
    let text =
        serde_json::to_vec_pretty(manifest).map_err(|error| BackupError::io("write", &path)(error.into()))?;
    fs::write(&path, text)
        .and_then(|()| File::open(&path)?.sync_all())
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(BackupError::io("write", &path))
}

fn digest(path: &PathBuf) -> Result<(u64, String), BackupError> {
    let mut sha256 = Sha256::new();
    let bytes = File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut sha256))
        .map_err(BackupError::io("read", path))?;
    Ok((bytes, hex::encode(sha256.finalize())))
}

fn run(name: &'static str, program: &mut Command) -> Result<(), BackupError> {
    let output = program.output().map_err(PrivateError::io(format!("run {name}")))?;
    if !output.status.success() {
        return Err(PrivateError::Program { program: name, output: tail(&output.stderr) }.into());
    }
    Ok(())
}

fn postgres_major(conn: &mut PgConnection) -> Result<u32, DbError> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Integer)]
        number: i32,
    }
    let version: Version =
        sql_query("SELECT current_setting('server_version_num')::integer AS number").get_result(conn)?;
    Ok(u32::try_from(version.number / 10_000).unwrap_or_default())
}

fn tables(conn: &mut PgConnection) -> Result<i64, DbError> {
    #[derive(QueryableByName)]
    struct Tables {
        #[diesel(sql_type = BigInt)]
        tables: i64,
    }
    let count: Tables = sql_query(
        "SELECT count(*) AS tables FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind IN ('r', 'p', 'v')",
    )
    .get_result(conn)?;
    Ok(count.tables)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DbError::Migration(error.to_string()))?
}
