//! What time does to stored things: days made ahead, what is older than is kept dropped, lapsed logins forgotten.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use diesel::sql_types::{BigInt, Timestamptz};
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_query};

use crate::partition::DAYS_AHEAD;
use crate::{Db, DbError};

/// Most rows that one statement deletes, so that it ends well within the pool's limit.
const ROWS_PER_DELETE: u32 = 50_000;
/// Most such statements in a round for one table: a year's backlog goes in some rounds, and none takes for ever.
const DELETES_MAX: u32 = 20;
/// Connections unused for this long are closed.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How long the record of changes goes back, days.
const AUDIT_DAYS: u64 = 730;

/// What one round of maintenance did. Of very many rows that are to go, the rest goes in later rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Days of positions made ready.
    pub days_made: usize,
    /// Days of positions dropped.
    pub days_dropped: usize,
    /// Positions without a day of their own that were dropped.
    pub positions_dropped: usize,
    /// Alarms that ended before the oldest day kept, dropped.
    pub alarms_dropped: usize,
    /// Reports dropped from quarantine.
    pub quarantined_dropped: usize,
    /// Entries of the record of changes dropped.
    pub changes_dropped: usize,
    /// Lapsed logins forgotten, opaque ones too.
    pub logins_forgotten: usize,
}

impl Db {
    /// Reports in quarantine beyond which the oldest are dropped: enough to see what is wrong.
    pub const QUARANTINE_ROWS_MAX: i64 = 100_000;

    /// One round; call it at start and then every hour or so. Safe to run from several nodes at once.
    ///
    /// # Errors
    /// The first error of any statement; every other part of the round is done all the same.
    pub async fn maintain(&self, now: DateTime<Utc>) -> Result<Maintained, DbError> {
        let today = now.date_naive();
        let ahead = (0..=DAYS_AHEAD + 1)
            .filter_map(|days| today.checked_sub_days(Days::new(1))?.checked_add_days(Days::new(days)));
        let days_made = self.make_days(ahead.collect()).await;
        let (mut days_dropped, mut positions_dropped, mut alarms_dropped) = (Ok(0), Ok(0), Ok(0));
        let kept = self.shared.settings.retention_days.map(|days| Days::new(u64::from(days)));
        if let Some(first) = kept.and_then(|kept| today.checked_sub_days(kept)) {
            let oldest = first.and_time(chrono::NaiveTime::MIN).and_utc();
            days_dropped = self.drop_days_before(first).await;
            positions_dropped = self.drop_positions_before(oldest).await;
            alarms_dropped = self.drop_rows("alarm", "end_at < $1", oldest).await;
        }
        let quarantined_dropped = self.bound_quarantine().await;
        let changes_dropped = match now.checked_sub_days(Days::new(AUDIT_DAYS)) {
            Some(oldest) => self.drop_rows("audit", "at < $1", oldest).await,
            None => Ok(0),
        };
        let logins = self.drop_rows("login", "expires_at < $1", now).await;
        let opaque = self.drop_rows("opaque_login", "expires_at < $1", now).await;
        self.close_idle(IDLE_MAX);
        Ok(Maintained {
            days_made: days_made?,
            days_dropped: days_dropped?,
            positions_dropped: positions_dropped?,
            alarms_dropped: alarms_dropped?,
            quarantined_dropped: quarantined_dropped?,
            changes_dropped: changes_dropped?,
            logins_forgotten: logins? + opaque?,
        })
    }

    /// Drops positions without a day of their own: those that stand in the default partition, and those
    /// without a possible time, by arrival.
    async fn drop_positions_before(&self, oldest: DateTime<Utc>) -> Result<usize, DbError> {
        let dated = self.drop_rows("position_default", "device_time < $1", oldest).await?;
        let undated = self.drop_rows("position_undated", "received_at < $1", oldest).await?;
        Ok(dated + undated)
    }

    /// Drops rows of `table`, at most [`DELETES_MAX`] times [`ROWS_PER_DELETE`].
    async fn drop_rows(
        &self,
        table: &'static str,
        condition: &'static str,
        before: DateTime<Utc>,
    ) -> Result<usize, DbError> {
        self.delete_again(move |conn| {
            sql_query(format!(
                "DELETE FROM {table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} WHERE {condition} LIMIT $2))"
            ))
            .bind::<Timestamptz, _>(before)
            .bind::<BigInt, _>(i64::from(ROWS_PER_DELETE))
            .execute(conn)
        })
        .await
    }

    async fn bound_quarantine(&self) -> Result<usize, DbError> {
        self.delete_again(|conn| {
            sql_query(
                "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine ORDER BY id LIMIT \
                 (SELECT least(greatest(count(*) - $1, 0), $2) FROM quarantine))",
            )
            .bind::<BigInt, _>(Self::QUARANTINE_ROWS_MAX)
            .bind::<BigInt, _>(i64::from(ROWS_PER_DELETE))
            .execute(conn)
        })
        .await
    }

    /// Deletes, each time in a transaction of its own, while as many rows go as may; says how many went.
    async fn delete_again(
        &self,
        delete: impl Fn(&mut PgConnection) -> QueryResult<usize> + Copy + Send + 'static,
    ) -> Result<usize, DbError> {
        let mut gone = 0;
        for _ in 0..DELETES_MAX {
            let rows = self.write(move |conn| Ok(delete(conn)?)).await?;
            gone += rows;
            if rows < ROWS_PER_DELETE as usize {
                break;
            }
        }
        Ok(gone)
    }
}
