//! What time does to stored things: days made ahead, old days dropped, lapsed logins forgotten.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use diesel::sql_types::{BigInt, Timestamptz};
use diesel::{RunQueryDsl, sql_query};

use crate::partition::DAYS_AHEAD;
use crate::{Db, DbError};

/// Reports in quarantine beyond which the oldest are dropped: enough to see what is wrong.
const QUARANTINE_ROWS_MAX: i64 = 100_000;
/// Most rows that one statement deletes, so that it ends well within the pool's limit.
const ROWS_PER_DELETE: i64 = 50_000;
/// Connections unused for this long are closed.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// What one round of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Days of positions made ready.
    pub days_made: usize,
    /// Days of positions dropped.
    pub days_dropped: usize,
    /// Positions without a day of their own that were dropped (the rest of them in later rounds, where
    /// there are very many).
    pub positions_dropped: usize,
    /// Lapsed logins and sessions forgotten.
    pub logins_forgotten: usize,
}

impl Db {
    /// One round; call it at start and then every hour or so. Safe to run from several nodes at once.
    ///
    /// # Errors
    /// As any statement; what was done before the error stays done.
    pub async fn maintain(&self, now: DateTime<Utc>) -> Result<Maintained, DbError> {
        let today = now.date_naive();
        let mut done = Maintained::default();
        let ahead =
            (0..=DAYS_AHEAD + 1).filter_map(|days| (today - Days::new(1)).checked_add_days(Days::new(days)));
        done.days_made = self.make_days(ahead.collect()).await?;
        if let Some(kept) = self.shared.settings.retention_days {
            let first = today - Days::new(u64::from(kept));
            done.days_dropped = self.drop_days_before(first).await?;
            let oldest = first.and_time(chrono::NaiveTime::MIN).and_utc();
            done.positions_dropped = self
                .write(move |conn| {
                    Ok(sql_query(
                        "DELETE FROM position_default WHERE ctid = ANY (ARRAY (SELECT ctid FROM position_default \
                         WHERE CASE WHEN dated THEN device_time ELSE received_at END < $1 LIMIT $2))",
                    )
                    .bind::<Timestamptz, _>(oldest)
                    .bind::<BigInt, _>(ROWS_PER_DELETE)
                    .execute(conn)?)
                })
                .await?;
        }
        self.write(|conn| {
            Ok(sql_query(
                "DELETE FROM quarantine WHERE id <= (SELECT id FROM quarantine ORDER BY id DESC OFFSET $1 LIMIT 1)",
            )
            .bind::<BigInt, _>(QUARANTINE_ROWS_MAX)
            .execute(conn)?)
        })
        .await?;
        done.logins_forgotten = self
            .write(move |conn| {
                let logins =
                    sql_query("DELETE FROM login_session WHERE expires_at < $1").bind::<Timestamptz, _>(now);
                let sessions =
                    sql_query("DELETE FROM jsession WHERE expires_at < $1").bind::<Timestamptz, _>(now);
                Ok(logins.execute(conn)? + sessions.execute(conn)?)
            })
            .await?;
        self.close_idle(IDLE_MAX);
        Ok(done)
    }
}
