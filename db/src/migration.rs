//! Migrations, embedded, up and down.

use crate::DbError;

/// Brings the database at `conninfo` up to this program's schema; says which migrations ran.
/// Several programs may do so at once: one does, the others wait.
pub async fn migrate(conninfo: &str) -> Result<Vec<String>, DbError> {
    todo!()
}

/// Takes every migration back, newest first; all data is lost.
pub async fn revert_all(conninfo: &str) -> Result<Vec<String>, DbError> {
    todo!()
}

/// The newest migration that has run; None on an empty database.
pub async fn schema_version(conninfo: &str) -> Result<Option<String>, DbError> {
    todo!()
}
