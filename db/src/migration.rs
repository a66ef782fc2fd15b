//! Migrations, embedded, up and down.

use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::pg::Pg;
use diesel::{Connection, PgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::DbError;
use crate::database::{IN_ENGLISH, bounded};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Key of the advisory lock that keeps two programs from migrating at once ("mcmigrat").
const LOCK: i64 = 0x6d63_6d69_6772_6174;
/// What the server says, among other things, of a statement that another transaction was in the way of.
const PASSING: [&str; 2] = ["canceling statement due to", "deadlock detected"];

/// Brings the database at `conninfo` up to this program's schema; says which migrations ran.
/// Several programs may do so at once: one does, the others wait for it (two minutes at most).
///
/// # Errors
/// [`DbError::Migration`], also where a newer program has been here; [`DbError::Unavailable`], also where the
/// server went away half-way or takes no writes; [`DbError::Busy`] where another program does not end, or holds what
/// a migration needs. After the last two nothing is half done: call it again.
pub async fn migrate(conninfo: &str) -> Result<Vec<String>, DbError> {
    let conninfo = conninfo.to_owned();
    blocking(move || migrate_blocking(&conninfo)).await
}

/// [`migrate`] on this thread.
pub(crate) fn migrate_blocking(conninfo: &str) -> Result<Vec<String>, DbError> {
    locked(conninfo, |conn| {
        let known = known()?;
        let applied = conn.applied_migrations().map_err(failed)?;
        let newer = applied.iter().map(ToString::to_string).find(|version| !known.contains(version));
        if let Some(newer) = newer {
            let text = format!("the database was migrated by a newer version ({newer})");
            return Err(DbError::Migration(text));
        }
        Ok(names(&conn.run_pending_migrations(MIGRATIONS).map_err(failed)?))
    })
}

/// Takes every migration back, newest first; all data is lost.
///
/// # Errors
/// As [`migrate`].
pub async fn revert_all(conninfo: &str) -> Result<Vec<String>, DbError> {
    let conninfo = conninfo.to_owned();
    let revert =
        |conn: &mut PgConnection| Ok(names(&conn.revert_all_migrations(MIGRATIONS).map_err(failed)?));
    blocking(move || locked(&conninfo, revert)).await
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

/// Runs `work` on a connection that holds the lock; both end together, whatever happens.
fn locked<T>(
    conninfo: &str,
    work: impl FnOnce(&mut PgConnection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let mut conn = connect(conninfo)?;
    lock(&mut conn).and_then(|()| work(&mut conn)).map_err(|error| cause(&mut conn, error))
}

fn lock(conn: &mut PgConnection) -> Result<(), DbError> {
    // a limit that an operator gave statements is not meant for these
    conn.batch_execute(&format!("{IN_ENGLISH}; SET statement_timeout = 0; SET lock_timeout = '120s'"))?;
    diesel::sql_query(format!("SELECT pg_advisory_lock({LOCK})")).execute(conn)?;
    Ok(())
}

/// What an error on a connection outside of the pools means: one that is the server's, which went away or takes no
/// writes, or another transaction's passes; what was begun is rolled back.
pub(crate) fn cause(conn: &mut PgConnection, error: DbError) -> DbError {
    let text = match &error {
        DbError::Migration(text) => text.clone(),
        DbError::Query(source) => source.to_string(),
        _ => return error,
    };
    if PASSING.iter().any(|message| text.contains(message)) {
        return DbError::Busy("another transaction holds what a migration needs");
    }
    match takes_writes(conn) {
        Ok(true) => error,
        Ok(false) => DbError::Unavailable(format!("the server takes no writes: {text}")),
        Err(_) => DbError::Unavailable(text),
    }
}

fn takes_writes(conn: &mut PgConnection) -> Result<bool, DbError> {
    #[derive(diesel::QueryableByName)]
    struct Writes {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        taken: bool,
    }
    let writes: Writes = diesel::sql_query(
        "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS taken",
    )
    .get_result(conn)?;
    Ok(writes.taken)
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
