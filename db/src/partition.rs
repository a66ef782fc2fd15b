//! Days of positions: one partition for each UTC day of device time.
//!
//! Days are made ahead, and on demand when a batch brings an older one. Reports of a day that has no
//! partition stand in the default one, and move when their day is made: nothing depends on it but speed.
//! Making and dropping take locks that storing waits for, and that a backup holds for hours: so whoever makes
//! or drops waits a moment only, and tries again later.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Days as CalendarDays, NaiveDate, Utc};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use tracing::warn;

use crate::{Db, DbError};

/// Days made ahead of today.
pub(crate) const DAYS_AHEAD: u64 = 2;
/// Oldest day that is made on demand, days before today: each partition costs every plan a little. Older
/// reports stay in the default partition.
const DAYS_BACK_MAX: u64 = 400;
/// Most days made for one batch, so that a terminal with a broken clock does not hold up the others.
const DAYS_PER_BATCH_MAX: usize = 4;
/// How long a table may be waited for, milliseconds: while it is, whatever else wants that table waits too.
const LOCK_WAIT_MS: u32 = 1_000;
/// How long a day that could not be made is left alone.
const REST: Duration = Duration::from_secs(60);
/// Key of the advisory lock under which days are made and dropped ("mcposday").
const LOCK: i64 = 0x6d63_706f_7364_6179;

/// What is known of the days. As many as are within reach of on-demand making, and those made ahead.
#[derive(Debug, Default)]
pub(crate) struct Days {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    made: HashSet<NaiveDate>,
    /// Days that could not be made, and when that was.
    failed: HashMap<NaiveDate, Instant>,
}

impl Days {
    /// Whether `day` is not there, as far as is known, and may be made now.
    fn wants(&self, day: NaiveDate) -> bool {
        let known = self.known();
        !known.made.contains(&day) && known.failed.get(&day).is_none_or(|at| at.elapsed() >= REST)
    }

    fn learn(&self, days: &[NaiveDate]) {
        let mut known = self.known();
        known.made.extend(days);
        known.failed.retain(|day, _| !days.contains(day));
    }

    fn could_not_make(&self, days: &[NaiveDate]) {
        self.known().failed.extend(days.iter().map(|day| (*day, Instant::now())));
    }

    fn forget(&self, day: NaiveDate) {
        self.known().made.remove(&day);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Makes those of `days` that are within reach of `now` and not there yet. Failing costs speed only.
    pub(crate) async fn make_days_of(&self, days: &BTreeSet<NaiveDate>, now: DateTime<Utc>) {
        let today = now.date_naive();
        let kept = self
            .shared
            .settings
            .retention_days
            .map_or(DAYS_BACK_MAX, |days| u64::from(days).min(DAYS_BACK_MAX));
        let reach = today - CalendarDays::new(kept)..=today + CalendarDays::new(DAYS_AHEAD);
        let missing: Vec<NaiveDate> = days
            .iter()
            .copied()
            .filter(|day| reach.contains(day) && self.shared.days.wants(*day))
            .take(DAYS_PER_BATCH_MAX)
            .collect();
        if let Err(error) = self.make_days(missing).await {
            warn!(%error, "days of positions could not be made, their reports go to the default partition");
        }
    }

    /// Makes days; says how many were not there.
    pub(crate) async fn make_days(&self, days: Vec<NaiveDate>) -> Result<usize, DbError> {
        if days.is_empty() {
            return Ok(0);
        }
        let wanted = days.clone();
        let made = self.write(move |conn| make(conn, &wanted)).await;
        match &made {
            Ok(_) => self.shared.days.learn(&days),
            // nobody said that they cannot be made: they are wanted as soon as the database is back
            Err(DbError::Unavailable(_) | DbError::OutcomeUnknown) => {}
            Err(_) => self.shared.days.could_not_make(&days),
        }
        made
    }

    /// Drops the days before `first`, the oldest first; says how many.
    pub(crate) async fn drop_days_before(&self, first: NaiveDate) -> Result<usize, DbError> {
        let there = self.write(there).await?;
        let mut dropped = 0;
        for day in there.into_iter().filter(|day| *day < first) {
            self.shared.days.forget(day);
            self.write(move |conn| {
                lock(conn)?;
                Ok(conn.batch_execute(&format!("DROP TABLE IF EXISTS {}", table(day)))?)
            })
            .await?;
            dropped += 1;
        }
        Ok(dropped)
    }
}

fn table(day: NaiveDate) -> String {
    format!("position_{}", day.format("%Y%m%d"))
}

/// Parents before children, and the advisory lock before both: whoever makes or drops a day does so alone.
fn lock(conn: &mut PgConnection) -> Result<(), DbError> {
    Ok(conn.batch_execute(&format!(
        "SET LOCAL lock_timeout = {LOCK_WAIT_MS}; SELECT pg_advisory_xact_lock({LOCK})"
    ))?)
}

/// The days that have a partition.
fn there(conn: &mut PgConnection) -> Result<BTreeSet<NaiveDate>, DbError> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let names: Vec<Name> = sql_query(
        "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'position'::regclass",
    )
    .load(conn)?;
    let day = |name: &Name| NaiveDate::parse_from_str(name.name.strip_prefix("position_")?, "%Y%m%d").ok();
    Ok(names.iter().filter_map(day).collect())
}

fn make(conn: &mut PgConnection, days: &[NaiveDate]) -> Result<usize, DbError> {
    lock(conn)?;
    let there = there(conn)?;
    let mut made = 0;
    for day in days.iter().filter(|day| !there.contains(day)) {
        let (table, next) = (table(*day), *day + CalendarDays::new(1));
        let range = format!("'{day} 00:00:00+00'");
        let end = format!("'{next} 00:00:00+00'");
        // a writer that holds the default partition finishes first, and none comes between move and attach
        conn.batch_execute(&format!(
            "LOCK TABLE ONLY position IN SHARE UPDATE EXCLUSIVE MODE; \
             LOCK TABLE position_default IN ACCESS EXCLUSIVE MODE; \
             CREATE TABLE {table} (LIKE position INCLUDING ALL); \
             WITH moved AS (DELETE FROM position_default WHERE device_time >= {range} AND device_time < {end} RETURNING *) \
               INSERT INTO {table} SELECT * FROM moved; \
             ALTER TABLE position ATTACH PARTITION {table} FOR VALUES FROM ({range}) TO ({end})"
        ))?;
        made += 1;
    }
    Ok(made)
}
