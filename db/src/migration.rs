//! Migrations, embedded, up and down.

use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel::{Connection, PgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::DbError;
use crate::database::bounded;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Key of the advisory lock that keeps two programs from migrating at once ("mcmigrat").
const LOCK: i64 = 0x6d63_6d69_6772_6174;

/// Brings the database at `conninfo` up to this program's schema; says which migrations ran.
/// Several programs may do so at once: one does, the others wait for it (two minutes at most).
///
/// # Errors
/// [`DbError::Migration`], also where a newer program has been here; [`DbError::Unavailable`], also where the
/// server went away half-way; [`DbError::Busy`] where another program does not end.
pub async fn migrate(conninfo: &str) -> Result<Vec<String>, DbError> {
    let conninfo = conninfo.to_owned();
    blocking(move || migrate_blocking(&conninfo)).await
}

/// [`migrate`] on this thread.
pub(crate) fn migrate_blocking(conninfo: &str) -> Result<Vec<String>, DbError> {
    let mut conn = locked(conninfo)?;
    let known = known()?;
    let applied = conn.applied_migrations().map_err(failed)?;
    if let Some(newer) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        return Err(DbError::Migration(format!("the database was migrated by a newer version ({newer})")));
    }
    let ran = conn.run_pending_migrations(MIGRATIONS).map(|ran| names(&ran)).map_err(failed);
    match ran {
        // a server that went away is not the migration's fault: what it began is rolled back
        Err(error) => match diesel::sql_query("SELECT 1").execute(&mut conn) {
            Ok(_) => Err(error),
            Err(_) => Err(DbError::Unavailable(error.to_string())),
        },
        ran => ran,
    }
}

/// Takes every migration back, newest first; all data is lost.
///
/// # Errors
/// As [`migrate`].
pub async fn revert_all(conninfo: &str) -> Result<Vec<String>, DbError> {
    let conninfo = conninfo.to_owned();
    blocking(move || Ok(names(&locked(&conninfo)?.revert_all_migrations(MIGRATIONS).map_err(failed)?))).await
}

/// The newest migration that has run; None on an empty database. Changes nothing.
///
/// # Errors
/// [`DbError::Unavailable`].
pub async fn schema_version(conninfo: &str) -> Result<Option<String>, DbError> {
    #[derive(diesel::QueryableByName)]
    struct Version {
        #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
        version: Option<String>,
    }
    let conninfo = conninfo.to_owned();
    blocking(move || {
        let mut conn = connect(&conninfo)?;
        let table: Version =
            diesel::sql_query("SELECT to_regclass('__diesel_schema_migrations')::text AS version")
                .get_result(&mut conn)?;
        if table.version.is_none() {
            return Ok(None);
        }
        let newest: Version =
            diesel::sql_query("SELECT max(version)::text AS version FROM __diesel_schema_migrations")
                .get_result(&mut conn)?;
        Ok(newest.version)
    })
    .await
}

/// Versions of the migrations in this program.
pub(crate) fn known() -> Result<Vec<String>, DbError> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(failed)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// A connection that holds the lock; both end together, whatever happens.
fn locked(conninfo: &str) -> Result<PgConnection, DbError> {
    let mut conn = connect(conninfo)?;
    diesel::sql_query("SET lock_timeout = '120s'").execute(&mut conn)?;
    diesel::sql_query(format!("SELECT pg_advisory_lock({LOCK})")).execute(&mut conn)?;
    Ok(conn)
}

/// A connection outside of the pools, made within libpq's limits.
pub(crate) fn connect(conninfo: &str) -> Result<PgConnection, DbError> {
    PgConnection::establish(&bounded(conninfo)).map_err(|error| DbError::Unavailable(error.to_string()))
}

/// Runs `work`, which waits for the server, off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DbError::Migration(error.to_string()))?
}

fn names(versions: &[MigrationVersion<'_>]) -> Vec<String> {
    versions.iter().map(ToString::to_string).collect()
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> DbError {
    DbError::Migration(error.to_string())
}
