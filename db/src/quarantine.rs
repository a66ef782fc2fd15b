//! Quarantine for what is not even a report: acknowledged bodies that became unreadable. (Reports that can never be
//! stored go there as they are stored.)

use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Text, Timestamptz};
use diesel::{RunQueryDsl, sql_query};
use model::TerminalId;

use crate::{Db, DbError};

/// A body that was acknowledged as a report and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableBody {
    /// Who sent it.
    pub terminal: TerminalId,
    /// As it came.
    pub body: Arc<[u8]>,
    /// 64 bits of its hash, as reports have; the same body is kept once a terminal.
    pub hash: i64,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// Why it is none, for people to read.
    pub reason: String,
}

impl Db {
    /// Puts bodies into quarantine, each once however often it is called. Gives how many were new there.
    ///
    /// # Errors
    /// On any error nothing may be forgotten that is not kept elsewhere; call it again. [`DbError::Invalid`] for more
    /// than [`Self::REPORTS_PER_BATCH_MAX`] bodies.
    pub async fn quarantine_bodies(&self, bodies: Vec<UnreadableBody>) -> Result<usize, DbError> {
        if bodies.len() > Self::REPORTS_PER_BATCH_MAX {
            return Err(DbError::Invalid(format!(
                "more than {} bodies at once",
                Self::REPORTS_PER_BATCH_MAX
            )));
        }
        if bodies.is_empty() {
            return Ok(0);
        }
        self.write(move |conn| {
            let terminals: Vec<i64> = bodies.iter().map(|unreadable| unreadable.terminal.0).collect();
            let contents: Vec<&[u8]> = bodies.iter().map(|unreadable| &*unreadable.body).collect();
            let hashes: Vec<i64> = bodies.iter().map(|unreadable| unreadable.hash).collect();
            let reasons: Vec<&str> = bodies.iter().map(|unreadable| unreadable.reason.as_str()).collect();
            let times: Vec<DateTime<Utc>> = bodies.iter().map(|unreadable| unreadable.received_at).collect();
            // in the order of the key, so that two that bring the same wait for each other one way
            let new = sql_query(
                "INSERT INTO quarantine (terminal_id, body, body_hash, reason, received_at) \
                 SELECT k.terminal_id, k.body, k.body_hash, k.reason, k.received_at \
                 FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::timestamptz[]) \
                   AS k (terminal_id, body, body_hash, reason, received_at) \
                 ORDER BY k.terminal_id, k.body_hash ON CONFLICT DO NOTHING",
            )
            .bind::<Array<BigInt>, _>(terminals)
            .bind::<Array<Binary>, _>(contents)
            .bind::<Array<BigInt>, _>(hashes)
            .bind::<Array<Text>, _>(reasons)
            .bind::<Array<Timestamptz>, _>(times)
            .execute(conn)?;
            Ok(new)
        })
        .await
    }
}
