//! The handle on the database: three pools, each with bounded waits.
//!
//! A commit under way is never cancelled (PostgreSQL would report it as done, with a warning): neither
//! pool that writes has a statement limit on the server, and our own limit abandons the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use deadpool_diesel::postgres::{Hook, HookError, Manager, Object, Pool, Runtime};
use deadpool_diesel::{ManagerConfig, PoolError, RecyclingMethod, TimeoutType};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use tokio::sync::Semaphore;

use crate::DbError;
use crate::partition::Days;

/// Limits of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Most connections, at least 1.
    pub connections: usize,
    /// Longest wait for a free connection, milliseconds.
    pub wait_timeout_ms: u64,
    /// Longest time for a statement or transaction, milliseconds.
    pub query_timeout_ms: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { connections: 4, wait_timeout_ms: 5_000, query_timeout_ms: 10_000 }
    }
}

/// Settings of the pools and of what is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbSettings {
    /// For storing reports.
    pub write: PoolSettings,
    /// For queries by people: lists, tracks.
    pub read: PoolSettings,
    /// For log-ins, sessions, changes by people: short, and never behind a report or a list.
    pub control: PoolSettings,
    /// Longest time to open a connection, milliseconds. Above 2,000 for each host of the URL, that being
    /// the least that libpq gives a host.
    pub connect_timeout_ms: u64,
    /// How long positions are kept, days by their device time; None: for ever.
    pub retention_days: Option<u32>,
}

impl Default for DbSettings {
    fn default() -> Self {
        Self {
            write: PoolSettings::default(),
            read: PoolSettings { connections: 6, ..PoolSettings::default() },
            control: PoolSettings { connections: 3, wait_timeout_ms: 3_000, query_timeout_ms: 5_000 },
            connect_timeout_ms: 5_000,
            retention_days: None,
        }
    }
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: DbSettings,
    pub(crate) days: Days,
    write: Lane,
    read: Lane,
    control: Lane,
}

/// A pool with its limits.
struct Lane {
    pool: Pool,
    query_timeout: Duration,
    /// Statements that run, abandoned ones included; these keep a connection and a thread until the server
    /// answers or the link breaks, so they are bounded too.
    running: Arc<Semaphore>,
}

/// Abandoned statements beyond which a pool takes no new ones, for each of its connections.
const ABANDONED_PER_CONNECTION_MAX: usize = 4;

impl Db {
    /// Connects to the database at `conninfo` (a URL or libpq's key-value form; with several hosts,
    /// `target_session_attrs=read-write` follows the primary). The schema must be there: see
    /// [`crate::migrate`]. Must be called, used and dropped within a tokio runtime.
    ///
    /// # Errors
    /// [`DbError::Unsafe`] where the server runs with `fsync` or `synchronous_commit` off;
    /// [`DbError::Unavailable`] where it cannot be reached; [`DbError::Invalid`] for a pool without connections.
    pub async fn connect(conninfo: &str, settings: DbSettings) -> Result<Self, DbError> {
        let conninfo = with_connect_timeout(conninfo);
        let lane = |name: &str, pool: PoolSettings, session: &str| {
            Lane::new(&conninfo, name, pool, session, &settings)
        };
        // rows that somebody forgot to release must not hold up the fleet
        let writing = |pool: PoolSettings| {
            format!(
                "SET statement_timeout = 0; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = 60000",
                pool.query_timeout_ms
            )
        };
        let reading = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}",
            settings.read.query_timeout_ms
        );
        let shared = Shared {
            write: lane("write", settings.write, &writing(settings.write))?,
            read: lane("read", settings.read, &reading)?,
            control: lane("control", settings.control, &writing(settings.control))?,
            days: Days::default(),
            settings,
        };
        let db = Self { shared: Arc::new(shared) };
        db.write(durable).await?;
        Ok(db)
    }

    /// Whether the database answers now, within the control pool's limits.
    pub async fn healthy(&self) -> bool {
        let answer = self.control(|conn| Ok(conn.batch_execute("SELECT 1")?)).await;
        answer.is_ok()
    }

    /// Runs `work` in one transaction on the pool for reports.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.shared.write.run(|conn, phase| in_transaction(conn, phase, work)).await
    }

    /// Runs `work`, which only reads, on the pool for people's queries.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.shared.read.run(|conn, _| work(conn)).await
    }

    /// Runs `work` in one transaction on the pool for log-ins, sessions and changes.
    pub(crate) async fn control<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.shared.control.run(|conn, phase| in_transaction(conn, phase, work)).await
    }

    /// Closes connections that nobody used for `idle`: each costs the server memory.
    pub(crate) fn close_idle(&self, idle: Duration) {
        for lane in [&self.shared.write, &self.shared.read, &self.shared.control] {
            lane.pool.retain(|_, metrics| metrics.last_used() < idle);
        }
    }
}

impl Lane {
    fn new(
        conninfo: &str,
        name: &str,
        pool: PoolSettings,
        session: &str,
        settings: &DbSettings,
    ) -> Result<Self, DbError> {
        if pool.connections == 0 {
            return Err(DbError::Invalid(format!("the {name} pool needs a connection")));
        }
        let session = format!("SET application_name = 'motorcade {name}'; {session}");
        let manager = Manager::from_config(
            conninfo,
            Runtime::Tokio1,
            ManagerConfig { recycling_method: RecyclingMethod::Verified },
        );
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        let inner = Pool::builder(manager)
            .max_size(pool.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_millis(pool.wait_timeout_ms)))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(connect_timeout.min(Duration::from_secs(1))))
            .post_create(Hook::async_fn(
                move |connection: &mut deadpool_diesel::Connection<PgConnection>, _| {
                    let session = session.clone();
                    Box::pin(async move {
                        let set = connection.interact(move |conn| conn.batch_execute(&session)).await;
                        match set {
                            Ok(Ok(())) => Ok(()),
                            Ok(Err(error)) => Err(HookError::message(error.to_string())),
                            Err(error) => Err(HookError::message(error.to_string())),
                        }
                    })
                },
            ))
            .build()
            .map_err(|error| DbError::Unavailable(error.to_string()))?;
        let running = Semaphore::new(pool.connections * (1 + ABANDONED_PER_CONNECTION_MAX));
        Ok(Self {
            pool: inner,
            query_timeout: Duration::from_millis(pool.query_timeout_ms),
            running: Arc::new(running),
        })
    }

    async fn run<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, &Phase) -> Result<T, DbError> + Send + 'static,
    {
        let connection = self.pool.get().await.map_err(no_connection)?;
        let Ok(running) = self.running.clone().try_acquire_owned() else {
            return Err(DbError::Busy("too many statements hang"));
        };
        let phase = Arc::new(Phase::default());
        let seen = phase.clone();
        let outcome = connection.interact(move |conn| {
            let _running = running;
            work(conn, &seen)
        });
        match tokio::time::timeout(self.query_timeout, outcome).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => {
                Err(DbError::Query(diesel::result::Error::QueryBuilderError(panicked.to_string().into())))
            }
            Err(_) => {
                // out of the pool: it ends in its own time, and a new one takes its place
                drop(Object::take(connection));
                Err(if phase.abandon() {
                    DbError::Busy("no answer in time")
                } else {
                    DbError::OutcomeUnknown
                })
            }
        }
    }
}

/// How far a transaction has come: the one atomic decides whether the limit or the commit was first.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

impl Phase {
    const RUNNING: u8 = 0;
    const ABANDONED: u8 = 1;
    const COMMITTING: u8 = 2;

    /// The caller gives up; false when the commit is already under way.
    fn abandon(&self) -> bool {
        self.leave_running(Self::ABANDONED)
    }

    /// The commit begins; false when the caller has given up.
    fn commit(&self) -> bool {
        self.leave_running(Self::COMMITTING)
    }

    fn leave_running(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::RUNNING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

fn in_transaction<T>(
    conn: &mut PgConnection,
    phase: &Phase,
    work: impl FnOnce(&mut PgConnection) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let mut committing = false;
    let result = conn.transaction(|conn| {
        let value = work(conn)?;
        if !phase.commit() {
            return Err(DbError::Busy("no answer in time"));
        }
        committing = true;
        Ok(value)
    });
    match result {
        // whatever broke after that point, the server may have committed first
        Err(_) if committing => Err(DbError::OutcomeUnknown),
        result => result,
    }
}

fn no_connection(error: PoolError) -> DbError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => DbError::Busy("no free connection"),
        PoolError::Timeout(_) => DbError::Unavailable("connecting takes too long".into()),
        other => DbError::Unavailable(other.to_string()),
    }
}

/// Refuses a server on which a commit that was reported could be lost.
fn durable(conn: &mut PgConnection) -> Result<(), DbError> {
    #[derive(QueryableByName)]
    struct Settings {
        #[diesel(sql_type = Text)]
        fsync: String,
        #[diesel(sql_type = Text)]
        synchronous_commit: String,
    }
    let settings: Settings = diesel::sql_query(
        "SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit",
    )
    .get_result(conn)?;
    if settings.fsync != "on" {
        return Err(DbError::Unsafe(format!("fsync={}", settings.fsync)));
    }
    // `local` and `remote_write` promise less than the pair's disks
    if !["on", "remote_apply"].contains(&settings.synchronous_commit.as_str()) {
        return Err(DbError::Unsafe(format!("synchronous_commit={}", settings.synchronous_commit)));
    }
    Ok(())
}

/// Gives libpq a limit for each host, where `conninfo` has none: it would wait as long as TCP does.
fn with_connect_timeout(conninfo: &str) -> String {
    if conninfo.contains("connect_timeout") {
        return conninfo.to_owned();
    }
    let is_url = conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://");
    let mark = match (is_url, conninfo.contains('?')) {
        (true, true) => '&',
        (true, false) => '?',
        (false, _) => ' ',
    };
    format!("{conninfo}{mark}connect_timeout=2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_the_commit_cannot_both_be_first() {
        let phase = Phase::default();
        assert!(phase.commit());
        assert!(!phase.abandon(), "a commit under way is not given up for nothing stored");
        let phase = Phase::default();
        assert!(phase.abandon());
        assert!(!phase.commit(), "what the caller took for not stored is rolled back");
    }

    #[test]
    fn a_limit_for_connecting_is_added_in_the_form_of_the_rest() {
        for (given, becomes) in [
            ("host=a dbname=b", "host=a dbname=b connect_timeout=2"),
            ("postgres://a/b", "postgres://a/b?connect_timeout=2"),
            ("postgresql://a/b?x=y", "postgresql://a/b?x=y&connect_timeout=2"),
            ("host=a connect_timeout=9", "host=a connect_timeout=9"),
        ] {
            assert_eq!(with_connect_timeout(given), becomes);
        }
    }
}
