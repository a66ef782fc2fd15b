//! The handle on the database: four pools, each with bounded waits. It may be made while the database is away.
//!
//! A commit under way is never cancelled (PostgreSQL would report it as done, with a warning): neither
//! pool that writes has a statement limit on the server, and our own limit abandons the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use deadpool_diesel::postgres::{Hook, HookError, Manager, Object, Pool, Runtime};
use deadpool_diesel::{ManagerConfig, PoolError, RecyclingMethod, TimeoutType};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use tokio::sync::Semaphore;

use crate::partition::Days;
use crate::{DbError, migration};

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
    /// For log-ins and changes by people: short, and never behind a report or a list.
    pub control: PoolSettings,
    /// For terminals' admission and sessions: a fleet that comes back at once keeps no person waiting.
    pub links: PoolSettings,
    /// Longest time to open a connection, milliseconds. Above 2,000 for each host of the URL, that being
    /// the least that libpq gives a host.
    pub connect_timeout_ms: u64,
    /// How long positions and alarms are kept, days, 1 to [`DbSettings::RETENTION_DAYS_MAX`]; None: for ever.
    pub retention_days: Option<u32>,
}

impl Default for DbSettings {
    fn default() -> Self {
        Self {
            write: PoolSettings::default(),
            read: PoolSettings { connections: 6, ..PoolSettings::default() },
            control: PoolSettings { connections: 3, wait_timeout_ms: 3_000, query_timeout_ms: 5_000 },
            links: PoolSettings { connections: 2, wait_timeout_ms: 3_000, query_timeout_ms: 5_000 },
            connect_timeout_ms: 5_000,
            retention_days: None,
        }
    }
}

impl DbSettings {
    /// A hundred years: what is longer is a slip of the pen.
    pub const RETENTION_DAYS_MAX: u32 = 36_500;

    fn check(&self) -> Result<(), DbError> {
        match self.retention_days {
            Some(days) if !(1..=Self::RETENTION_DAYS_MAX).contains(&days) => Err(DbError::Invalid(format!(
                "retention_days must be 1 to {}, not {days}",
                Self::RETENTION_DAYS_MAX
            ))),
            _ => Ok(()),
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
    /// With limits of time, see [`bounded`].
    conninfo: String,
    /// Whether the database was found fit for use since this handle was made.
    is_open: AtomicBool,
    /// For attempts to open it, those that were given up and hang included.
    attempts: Arc<Semaphore>,
    write: Lane,
    read: Lane,
    control: Lane,
    links: Lane,
}

/// A pool with its limits.
struct Lane {
    pool: Pool,
    get_timeout: Duration,
    query_timeout: Duration,
    /// Statements and set-ups of connections that run, abandoned ones included; these keep a connection and a
    /// thread until the server answers or the link breaks, so they are bounded too.
    running: Arc<Semaphore>,
}

/// Abandoned statements beyond which a pool takes no new ones, for each of its connections.
const ABANDONED_PER_CONNECTION_MAX: usize = 4;
/// Attempts to open the database beyond which no other begins: a server that takes connections and is silent gets
/// no third one.
const ATTEMPTS_MAX: usize = 2;
/// How long the migrations may take before they are left to themselves. The next attempt waits for those that go on:
/// they hold a lock.
const MIGRATE_WITHIN: Duration = Duration::from_secs(600);

impl Db {
    /// A handle on the database at `conninfo` (a URL or libpq's key-value form; with several hosts,
    /// `target_session_attrs=read-write` follows the primary), which may be away: nothing is asked of it yet.
    /// Every call answers [`DbError::Unavailable`] until [`open`](Self::open) has succeeded once. Must be
    /// used and dropped within a tokio runtime.
    ///
    /// # Errors
    /// [`DbError::Invalid`] for a pool without connections or a retention out of its bounds.
    pub fn closed(conninfo: &str, settings: DbSettings) -> Result<Self, DbError> {
        settings.check()?;
        let conninfo = bounded(conninfo);
        let lane = |name: &str, pool: PoolSettings, session: &str| {
            Lane::new(&conninfo, name, pool, session, &settings)
        };
        // Rows that somebody forgot to release must not hold up the fleet, nor those of a process that was frozen, or cut
        // off, between two statements: nobody waits for its transaction any more when this limit is over.
        let writing = |pool: PoolSettings| {
            let limit_ms = pool.query_timeout_ms;
            format!(
                "SET statement_timeout = 0; SET lock_timeout = {limit_ms}; \
                 SET idle_in_transaction_session_timeout = {limit_ms}"
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
            links: lane("links", settings.links, &writing(settings.links))?,
            days: Days::default(),
            is_open: AtomicBool::new(false),
            attempts: Arc::new(Semaphore::new(ATTEMPTS_MAX)),
            conninfo: conninfo.clone(),
            settings,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Brings the tables up to this program's schema and checks that the server keeps what it calls
    /// committed; from then on the handle works. Says which migrations ran. May be called again, and again
    /// after an error.
    ///
    /// # Errors
    /// [`DbError::Unsafe`] where the server runs with `fsync` or `synchronous_commit` off;
    /// [`DbError::Unavailable`] and [`DbError::Busy`] where it cannot be reached, does not answer in time, takes no
    /// writes, or where another program migrates or is in the way of a migration;
    /// [`DbError::Migration`] where a migration fails or a newer program has been here.
    pub async fn open(&self) -> Result<Vec<String>, DbError> {
        self.check_server().await?;
        let conninfo = self.shared.conninfo.clone();
        let applied = self.apart(MIGRATE_WITHIN, move || migration::migrate_blocking(&conninfo)).await?;
        self.shared.is_open.store(true, Ordering::Release);
        Ok(applied)
    }

    /// A handle that works at once, on a database that is there, with its schema: see [`crate::migrate`].
    ///
    /// # Errors
    /// As [`closed`](Self::closed) and [`open`](Self::open).
    pub async fn connect(conninfo: &str, settings: DbSettings) -> Result<Self, DbError> {
        let db = Self::closed(conninfo, settings)?;
        db.check_server().await?;
        db.shared.is_open.store(true, Ordering::Release);
        Ok(db)
    }

    async fn check_server(&self) -> Result<(), DbError> {
        let Shared { conninfo, settings, .. } = &*self.shared;
        let (conninfo, limit_ms) = (conninfo.clone(), settings.control.query_timeout_ms);
        self.apart(Duration::from_millis(settings.connect_timeout_ms.saturating_add(limit_ms)), move || {
            let mut conn = migration::connect(&conninfo)?;
            let session = format!(
                "SET application_name = 'motorcade start'; {IN_ENGLISH}; SET statement_timeout = {limit_ms}"
            );
            let set = conn.batch_execute(&session).map_err(DbError::from);
            set.and_then(|()| durable(&mut conn)).map_err(|error| migration::cause(&mut conn, error))
        })
        .await
    }

    /// Runs `work`, which waits for the server on a connection of its own, for so long. What is given up goes on,
    /// and keeps its connection and a thread until the server answers or the link breaks.
    async fn apart<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let Ok(attempt) = self.shared.attempts.clone().try_acquire_owned() else {
            return Err(DbError::Busy("earlier attempts to open it hang"));
        };
        let work = migration::blocking(move || {
            let _attempt = attempt;
            work()
        });
        match tokio::time::timeout(within, work).await {
            Ok(done) => done,
            Err(_) => Err(DbError::Unavailable("the server does not answer".into())),
        }
    }

    /// Nothing may be asked of tables that are perhaps not there.
    fn is_open(&self) -> Result<(), DbError> {
        if self.shared.is_open.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(DbError::Unavailable("it has not been reached since the start".into()))
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
        self.is_open()?;
        self.shared.write.run(|conn, phase| in_transaction(conn, phase, work)).await
    }

    /// Runs `work`, which only reads, on the pool for people's queries.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.is_open()?;
        self.shared.read.run(|conn, _| work(conn)).await
    }

    /// Runs `work` in one transaction on the pool for terminals' admission and sessions.
    pub(crate) async fn links<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.is_open()?;
        self.shared.links.run(|conn, phase| in_transaction(conn, phase, work)).await
    }

    /// Runs `work` in one transaction on the pool for log-ins and changes by people.
    pub(crate) async fn control<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection) -> Result<T, DbError> + Send + 'static,
    {
        self.is_open()?;
        self.shared.control.run(|conn, phase| in_transaction(conn, phase, work)).await
    }

    /// Closes connections that nobody used for `idle`: each costs the server memory.
    pub(crate) fn close_idle(&self, idle: Duration) {
        let Shared { write, read, control, links, .. } = &*self.shared;
        for lane in [write, read, control, links] {
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
        let session =
            format!("SET application_name = 'motorcade {name}'; {IN_ENGLISH}; {SERVER_LIMITS}; {session}");
        let manager = Manager::from_config(
            conninfo,
            Runtime::Tokio1,
            ManagerConfig { recycling_method: RecyclingMethod::Verified },
        );
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        let wait_timeout = Duration::from_millis(pool.wait_timeout_ms);
        let running = Arc::new(Semaphore::new(pool.connections * (1 + ABANDONED_PER_CONNECTION_MAX)));
        let hanging = running.clone();
        let inner = Pool::builder(manager)
            .max_size(pool.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(wait_timeout))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(connect_timeout.min(Duration::from_secs(1))))
            .post_create(Hook::async_fn(
                move |connection: &mut deadpool_diesel::Connection<PgConnection>, _| {
                    let (session, hanging) = (session.clone(), hanging.clone());
                    Box::pin(async move {
                        // given up, it goes on as a statement does
                        let Ok(running) = hanging.try_acquire_owned() else {
                            return Err(HookError::message(
                                "too many connections hang while they are set up",
                            ));
                        };
                        let set = connection.interact(move |conn| {
                            let _running = running;
                            conn.batch_execute(&session)?;
                            // each time: another server may have taken the first one's place
                            durable(conn)
                        });
                        match set.await {
                            Ok(Ok(())) => Ok(()),
                            Ok(Err(error)) => Err(HookError::message(error.to_string())),
                            Err(error) => Err(HookError::message(error.to_string())),
                        }
                    })
                },
            ))
            .build()
            .map_err(|error| DbError::Unavailable(error.to_string()))?;
        Ok(Self {
            pool: inner,
            // deadpool limits each step but the last, in which a new connection is set up
            get_timeout: wait_timeout + 2 * connect_timeout,
            query_timeout: Duration::from_millis(pool.query_timeout_ms),
            running,
        })
    }

    async fn run<T, F>(&self, work: F) -> Result<T, DbError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PgConnection, &Phase) -> Result<T, DbError> + Send + 'static,
    {
        let connection = match tokio::time::timeout(self.get_timeout, self.pool.get()).await {
            Ok(connection) => connection.map_err(no_connection)?,
            Err(_) => return Err(DbError::Unavailable("connecting takes too long".into())),
        };
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

/// Errors are told apart by their messages, where the server lets us choose these messages' language.
pub(crate) const IN_ENGLISH: &str = "DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$";

/// The same limits as [`LIMITS`] for the server's side of a connection: it would keep that of a node that was cut off,
/// and one of its places, for hours.
const SERVER_LIMITS: &str = "SET tcp_user_timeout = 20000; SET tcp_keepalives_idle = 10; \
    SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// Limits that libpq is given where `conninfo` does not: it would wait for a host, or for an answer over a dead
/// link, as long as TCP does. Seconds, but for `tcp_user_timeout`, which is milliseconds.
const LIMITS: [(&str, u32); 5] = [
    ("connect_timeout", 2),
    ("tcp_user_timeout", 20_000),
    ("keepalives_idle", 10),
    ("keepalives_interval", 5),
    ("keepalives_count", 3),
];

/// `conninfo` with [`LIMITS`].
pub(crate) fn bounded(conninfo: &str) -> String {
    let is_url = conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://");
    let mut bounded = conninfo.to_owned();
    for (name, limit) in LIMITS {
        if conninfo.contains(name) {
            continue;
        }
        let mark = match (is_url, bounded.contains('?')) {
            (true, true) => '&',
            (true, false) => '?',
            (false, _) => ' ',
        };
        bounded.push_str(&format!("{mark}{name}={limit}"));
    }
    bounded
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
    fn limits_are_added_in_the_form_of_the_rest() {
        let rest = "tcp_user_timeout=20000 keepalives_idle=10 keepalives_interval=5 keepalives_count=3";
        let rest_url = rest.replace(' ', "&");
        for (given, becomes) in [
            ("host=a dbname=b", format!("host=a dbname=b connect_timeout=2 {rest}")),
            ("postgres://a/b", format!("postgres://a/b?connect_timeout=2&{rest_url}")),
            ("postgresql://a/b?x=y", format!("postgresql://a/b?x=y&connect_timeout=2&{rest_url}")),
            ("host=a connect_timeout=9", format!("host=a connect_timeout=9 {rest}")),
        ] {
            assert_eq!(bounded(given), becomes);
            assert_eq!(bounded(&becomes), becomes, "given once");
        }
    }

    #[test]
    fn a_retention_beyond_the_calendar_is_refused() {
        for (days, valid) in [(0, false), (1, true), (36_500, true), (36_501, false), (u32::MAX, false)] {
            let settings = DbSettings { retention_days: Some(days), ..DbSettings::default() };
            assert_eq!(settings.check().is_ok(), valid, "{days}");
        }
        assert!(DbSettings::default().check().is_ok(), "for ever");
    }
}
