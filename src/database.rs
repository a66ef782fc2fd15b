//! The database of `serve`: the operator's or the private one. Either may be away for as long as it likes.
//!
//! Brings it up to date and makes the first account, again and again until it was there once. Knows no role;
//! these work meanwhile with a handle that answers as a database does that is away.

use std::path::Path;
use std::time::Duration;

use access::{Access, PasswordHashes};
use anyhow::{Context, Result, anyhow};
use db::private::{PrivateServer, PrivateSettings};
use db::{Db, DbError, DbSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;

/// Rest after an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often it is said that the database is still away.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// How long a start waits for the first attempt to end: one that hangs goes on while terminals are served.
const FIRST_ATTEMPT_WITHIN: Duration = Duration::from_secs(15);
/// How often partitions are made ahead and old rows dropped.
const MAINTAIN_EVERY: Duration = Duration::from_secs(3_600);

/// How far the database has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The first attempt runs.
    Unknown,
    /// It failed, or takes too long.
    Away,
    /// Up to date, with an account.
    Ready,
}

/// The database that a node works with.
pub(crate) struct Database {
    db: Db,
    private: Option<PrivateServer>,
}

/// A database that is brought up to date and then kept in order; ends only with an error.
pub(crate) struct Care {
    stage: watch::Receiver<Stage>,
    task: JoinHandle<anyhow::Error>,
}

impl Database {
    /// That of the configuration, or the private one, which is started.
    pub(crate) async fn start(config: &Config, data: &Path) -> Result<Self> {
        let settings =
            DbSettings { retention_days: Some(config.database.retention_days), ..DbSettings::default() };
        let (private, conninfo) = match &config.database.url {
            Some(url) => (None, url.clone()),
            None => {
                let private = PrivateServer::start(PrivateSettings::new(data))
                    .await
                    .context("start the private PostgreSQL")?;
                let conninfo = private.conninfo().to_owned();
                (Some(private), conninfo)
            }
        };
        let db = Db::closed(&conninfo, settings).context("use the database")?;
        Ok(Self { db, private })
    }

    /// The handle.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Brings it up to date. Returns when it is ready or away: then it goes on trying. (The private server answered
    /// once before this, and whoever watches it starts it again when it dies.)
    ///
    /// # Errors
    /// A server that would lose acknowledged data, a migration that fails.
    pub(crate) async fn care(&self, access: &Access) -> Result<Care> {
        let (told, stage) = watch::channel(Stage::Unknown);
        let task = tokio::spawn(care(self.db.clone(), access.clone(), told));
        let mut care = Care { stage, task };
        let settled = care.stage.wait_for(|stage| *stage != Stage::Unknown);
        tokio::select! {
            error = &mut care.task => return Err(error?),
            // none where the task ended: then its error is to come
            Ok(_) = settled => {}
            // the private one is at work: a first start is over when people can log in
            () = tokio::time::sleep(FIRST_ATTEMPT_WITHIN), if self.private.is_none() => {
                warn!("the database takes long to answer: reports go to the spool meanwhile");
            }
        }
        Ok(care)
    }

    /// Stops the private server.
    pub(crate) async fn stop(self) -> Result<()> {
        match self.private {
            Some(private) => private.stop().await.context("stop the private PostgreSQL"),
            None => Ok(()),
        }
    }
}

impl Care {
    /// Whether the database is up to date.
    pub(crate) fn is_ready(&self) -> bool {
        *self.stage.borrow() == Stage::Ready
    }

    /// Whether the database is up to date, asked again and again.
    pub(crate) fn watch(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let stage = self.stage.clone();
        move || *stage.borrow() == Stage::Ready
    }

    /// Resolves when the database is up to date.
    pub(crate) fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stage = self.stage.clone();
        async move {
            if stage.wait_for(|stage| *stage == Stage::Ready).await.is_err() {
                // it never will be: the node is about to end
                std::future::pending().await
            }
        }
    }

    /// Resolves when the database turns out to be one that cannot be used.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        (&mut self.task).await.unwrap_or_else(|panic| anyhow!(panic))
    }

    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

/// Brings the database up to date, however long it is away, and then maintains it until aborted.
async fn care(db: Db, access: Access, stage: watch::Sender<Stage>) -> anyhow::Error {
    let mut first = match FirstAccount::new(&access).await {
        Ok(first) => first,
        Err(error) => return error,
    };
    let mut said: Option<Instant> = None;
    loop {
        match prepare(&db, &mut first).await {
            Ok(()) => break,
            Err(error) if is_away(&error) => {
                if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    warn!("the database is away, reports go to the spool until it is there: {error:#}");
                    said = Some(Instant::now());
                }
                stage.send_replace(Stage::Away);
            }
            Err(error) => return error,
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
    if said.is_some() {
        info!("the database is there and up to date");
    }
    stage.send_replace(Stage::Ready);
    maintain(&db).await
}

async fn prepare(db: &Db, first: &mut FirstAccount) -> Result<()> {
    for name in db.open().await.context("bring the database's tables up to date")? {
        info!("migration {name} applied");
    }
    first.make(db).await.context("make the account admin")
}

/// Whether another attempt may find the database in a better state.
fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(DbError::Unavailable(_) | DbError::Busy(_) | DbError::OutcomeUnknown))
}

/// The account `admin`, made at first start. The same for every attempt, so that one whose outcome stayed
/// unknown can be told from somebody else's.
struct FirstAccount {
    password: String,
    generated: bool,
    hashes: PasswordHashes,
    /// An attempt may have made it.
    unsure: bool,
}

impl FirstAccount {
    const NAME: &str = "admin";

    async fn new(access: &Access) -> Result<Self> {
        let chosen = std::env::var("MOTORCADE_ADMIN_PASSWORD").ok().filter(|password| !password.is_empty());
        let generated = chosen.is_none();
        let password = chosen.unwrap_or_else(crate::user::generated_password);
        let hashes = access.hash_password(&password).await?;
        Ok(Self { password, generated, hashes, unsure: false })
    }

    async fn make(&mut self, db: &Db) -> Result<(), DbError> {
        let PasswordHashes { password, password_md5 } = self.hashes.clone();
        let made = match db.create_first_account(Self::NAME, password, password_md5, self.generated).await {
            Ok(true) => true,
            Ok(false) if self.unsure => {
                let there = db.credentials(Self::NAME).await?;
                there.is_some_and(|there| there.password_hash == self.hashes.password)
            }
            Ok(false) => false,
            Err(error) => {
                self.unsure |= matches!(error, DbError::OutcomeUnknown);
                return Err(error);
            }
        };
        if made && self.generated {
            eprintln!("password of {}: {} (to be changed at the first log-in)", Self::NAME, self.password);
        }
        Ok(())
    }
}

async fn maintain(db: &Db) -> ! {
    let mut ticks = tokio::time::interval(MAINTAIN_EVERY);
    loop {
        ticks.tick().await;
        match db.maintain(chrono::Utc::now()).await {
            Ok(done) => info!(?done, "database maintained"),
            Err(error) => warn!(%error, "database not maintained: {error}"),
        }
    }
}
