//! For tests: one private server for the process, a fresh migrated database for each test.
//!
//! The server ends, and its folder goes, when the process does, however it does: a shell holds the other
//! end of a pipe.

mod switch;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};

use crate::private::{PrivateServer, PrivateSettings};
use crate::{Db, DbSettings};

pub use switch::Switch;

/// A database of its own on the process's server, gone when dropped.
pub struct TestDb {
    db: Db,
    database: Database,
}

impl TestDb {
    /// A fresh migrated database, with the usual settings.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not work: such a test cannot say anything.
    pub async fn new() -> Self {
        Self::with(DbSettings::default()).await
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub async fn with(settings: DbSettings) -> Self {
        let database = tokio::task::spawn_blocking(Database::new).await.expect("a database is made");
        let db = Db::connect(&database.conninfo, settings).await.expect("a fresh database takes connections");
        Self { db, database }
    }

    /// The handle.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// How to connect to it.
    pub fn conninfo(&self) -> &str {
        &self.database.conninfo
    }

    /// A transaction that has executed `statement`, and holds what that locked until it is dropped.
    ///
    /// # Panics
    /// Where the server refuses it.
    pub fn hold(&self, statement: &str) -> PgConnection {
        let mut conn = self.connection();
        conn.batch_execute(&format!("BEGIN; {statement}")).expect("the statement is executed");
        conn
    }

    /// Takes the database away: its connections end, and it takes no others.
    ///
    /// # Panics
    /// Where the server is gone.
    pub fn take_away(&self) {
        let name = &self.database.name;
        administer(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        administer(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    }

    /// Lets the database take connections again.
    ///
    /// # Panics
    /// Where the server is gone.
    pub fn bring_back(&self) {
        administer(&format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.database.name));
    }

    /// How many of its connections wait for a lock in a statement that begins with `statement`.
    ///
    /// # Panics
    /// Where the server is gone.
    pub fn waiting(&self, statement: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Waiting {
            #[diesel(sql_type = BigInt)]
            waiting: i64,
        }
        let waiting: Waiting = sql_query(
            "SELECT count(*) AS waiting FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event_type = 'Lock' AND starts_with(query, $1)",
        )
        .bind::<Text, _>(statement)
        .get_result(&mut self.connection())
        .expect("counted");
        waiting.waiting
    }

    /// How many rows there are in `table`, which a WHERE may follow.
    ///
    /// # Panics
    /// Where that is no table, or the server is gone.
    pub fn count(&self, table: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Counted {
            #[diesel(sql_type = BigInt)]
            rows: i64,
        }
        let counted = sql_query(format!("SELECT count(*) AS rows FROM {table}"));
        let counted: Counted = counted.get_result(&mut self.connection()).expect("counted");
        counted.rows
    }

    /// A connection for looking at tables directly.
    ///
    /// # Panics
    /// Where the server is gone.
    pub fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.database.conninfo).expect("the server takes connections")
    }
}

/// A folder for one test that PostgreSQL's user can reach, gone when dropped.
pub struct TestFolder(PathBuf);

impl TestFolder {
    /// An empty folder.
    ///
    /// # Panics
    /// Where the machine's folder for temporary files takes none.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("motorcade-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Default for TestFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                eprintln!("{} stays: {error}", self.0.display())
            }
            _ => {}
        }
    }
}

struct Database {
    name: String,
    conninfo: String,
}

impl Database {
    const TEMPLATE: &str = "motorcade_template";

    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        administer(&format!("CREATE DATABASE {name} TEMPLATE {}", Self::TEMPLATE));
        let conninfo = server().replace("dbname=motorcade", &format!("dbname={name}"));
        Self { name, conninfo }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        // the runtime may be ending: not on its threads
        let dropped =
            std::thread::spawn(move || administer(&format!("DROP DATABASE {name} WITH (FORCE)"))).join();
        if dropped.is_err() {
            eprintln!("a test's database stays until the process ends");
        }
    }
}

fn administer(statement: &str) {
    let mut conn = PgConnection::establish(server()).expect("the tests' server takes connections");
    conn.batch_execute(statement).expect("the tests' server does as it is told");
}

/// How to connect to the process's server, which the first test starts.
fn server() -> &'static str {
    static SERVER: OnceLock<(PrivateServer, String)> = OnceLock::new();
    &SERVER
        .get_or_init(|| {
            let folder = TestFolder::new();
            let settings = PrivateSettings { connections_max: 200, ..PrivateSettings::new(folder.path()) };
            let server =
                PrivateServer::start_blocking(&settings).expect("PostgreSQL is installed and starts");
            end_with_process(server.pid().expect("it runs"), &folder);
            // the shell removes it
            std::mem::forget(folder);
            let conninfo = server.conninfo().to_owned();
            let mut conn = PgConnection::establish(&conninfo).expect("the server answers");
            conn.batch_execute(&format!("CREATE DATABASE {}", Database::TEMPLATE)).expect("a new database");
            drop(conn);
            let template = conninfo.replace("dbname=motorcade", &format!("dbname={}", Database::TEMPLATE));
            crate::migration::migrate_blocking(&template).expect("migrations run");
            (server, conninfo)
        })
        .1
}

/// Has a shell end the server and remove its folder once this process has ended: its end of the pipe closes.
fn end_with_process(pid: u32, folder: &TestFolder) {
    let script =
        "cat >/dev/null; kill -QUIT $0; while kill -0 $0 2>/dev/null; do sleep 0.1; done; rm -rf \"$1\"";
    let shell = Command::new("sh")
        .args(["-c", script, &pid.to_string()])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    std::mem::forget(shell);
}
