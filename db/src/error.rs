//! What goes wrong at the database's edge, in the terms in which callers act on it.

use diesel::result::{DatabaseErrorKind, Error as Diesel};

/// Why a query brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, went away, or takes no writes now. Nothing was stored.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// No connection or no answer within the limit. Nothing was stored.
    #[error("database busy: {0}")]
    Busy(&'static str),
    /// The commit was under way when the limit passed or the link broke: stored or not, nobody knows.
    /// Send the same again; storing is idempotent.
    #[error("outcome of the commit unknown")]
    OutcomeUnknown,
    /// No such thing, or not within the caller's scope.
    #[error("not found")]
    NotFound,
    /// It contradicts what is stored; the text says what, for people.
    #[error("{0}")]
    Conflict(String),
    /// An argument is out of its bounds; the text says which, for people.
    #[error("{0}")]
    Invalid(String),
    /// The server's settings would lose acknowledged data (`fsync` or `synchronous_commit` off).
    #[error("refusing a server with {0}: acknowledged data could be lost")]
    Unsafe(String),
    /// A migration failed.
    #[error("migration failed: {0}")]
    Migration(String),
    /// Anything else that the server said: a bug here or a broken server.
    #[error("query failed")]
    Query(#[source] Diesel),
}

/// Beginnings of messages by which libpq and the server report a lost or refused connection.
const LOST: [&str; 13] = [
    "server closed the connection",
    "terminating connection",
    "could not connect",
    "connection to server",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "the database system is",
    "SSL connection has been closed",
    "SSL SYSCALL error",
    "SSL error",
    "connection not open",
    "lost synchronization with server",
];

/// Beginnings of messages by which the server says that something took too long or is exhausted.
const SLOW: [&str; 6] = [
    "canceling statement due to",
    "deadlock detected",
    "out of shared memory",
    "too many connections for",
    "remaining connection slots",
    "sorry, too many clients",
];

/// What the messages say when a time is none that the server can hold (SQLSTATE 22008, which diesel does not
/// pass on).
const TIMES: [&str; 3] =
    ["timestamp out of range", "date out of range", "date/time field value out of range"];

impl From<Diesel> for DbError {
    fn from(error: Diesel) -> Self {
        match &error {
            Diesel::NotFound => Self::NotFound,
            Diesel::BrokenTransactionManager => Self::Unavailable("the connection broke".into()),
            Diesel::DatabaseError(kind, info) => {
                let message = info.message().to_owned();
                match kind {
                    DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    | DatabaseErrorKind::ReadOnlyTransaction => Self::Unavailable(message),
                    DatabaseErrorKind::SerializationFailure => Self::Busy("a concurrent change won"),
                    DatabaseErrorKind::UniqueViolation => Self::Conflict(taken(info.constraint_name())),
                    DatabaseErrorKind::ForeignKeyViolation => Self::Conflict(tied(info.constraint_name())),
                    _ if LOST.iter().any(|start| message.starts_with(start)) => Self::Unavailable(message),
                    _ if SLOW.iter().any(|start| message.starts_with(start)) => {
                        Self::Busy("the server could not finish in time")
                    }
                    _ if TIMES.iter().any(|start| message.starts_with(start)) => {
                        Self::Invalid("a time is out of range".into())
                    }
                    _ => Self::Query(error),
                }
            }
            _ => Self::Query(error),
        }
    }
}

/// What a unique constraint guards, in people's words.
fn taken(constraint: Option<&str>) -> String {
    match constraint.unwrap_or_default() {
        "account_name_key" => "this account name is taken".into(),
        "company_parent_name_key" => "a company of this name exists under the same parent".into(),
        "device_profile_company_name_key" => "a device profile of this name exists in this company".into(),
        "role_company_name_key" => "a role of this name exists in this company".into(),
        "terminal_device_no_key" => "this device number is taken".into(),
        "terminal_sim_key" => "a terminal with this SIM exists".into(),
        "vehicle_plate_key" => "a vehicle with this plate exists".into(),
        other => format!("already there ({other})"),
    }
}

/// What a foreign key guards: somebody else was first, between a look and the change.
fn tied(constraint: Option<&str>) -> String {
    match constraint.unwrap_or_default() {
        "account_company_id_fkey" => "the company of the account is gone, or still has accounts".into(),
        "account_role_id_fkey" => "the role of the account is gone, or still has accounts".into(),
        "company_parent_id_fkey" => "the company above is gone, or still has companies below".into(),
        "role_company_id_fkey" => "the company of the role is gone, or still has roles".into(),
        "terminal_company_id_fkey" => "the company of the terminal is gone, or still has terminals".into(),
        "terminal_vehicle_fkey" => "the vehicle of the terminal is gone, or still has terminals".into(),
        "vehicle_company_id_fkey" => "the company of the vehicle is gone, or still has vehicles".into(),
        other => format!("what it belongs to is gone, or something still belongs to it ({other})"),
    }
}
