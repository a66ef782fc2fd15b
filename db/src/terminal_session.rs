//! A terminal's login at a gateway: online and offline, with an epoch so that a late farewell of an old
//! link changes nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use model::{AlarmSet, TerminalId};

use crate::company::Key;
use crate::{Db, DbError, text};

/// An opened session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSession {
    /// Names this session among the terminal's; give it back when the link closes.
    pub epoch: i64,
    /// What the terminal's newest report said.
    pub newest: NewestAlarms,
}

/// The alarm bits of a terminal's newest stored dated report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewestAlarms {
    /// Its device time; None where nothing dated is stored.
    pub at: Option<DateTime<Utc>>,
    /// The bits.
    pub alarms: AlarmSet,
}

#[derive(QueryableByName)]
struct SessionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    session_epoch: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    dated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    dated_alarms: Option<i64>,
}

impl SessionRow {
    fn newest(&self) -> NewestAlarms {
        NewestAlarms {
            at: self.dated_at,
            alarms: AlarmSet(self.dated_alarms.unwrap_or_default().cast_unsigned()),
        }
    }
}

#[derive(QueryableByName)]
struct RevocationsRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    sim: String,
    #[diesel(sql_type = Integer)]
    auth_revocations: i32,
}

/// Longest name of a node and longest address, characters.
const NAME_CHARS_MAX: usize = 255;

impl Db {
    /// Marks terminals online at `node`, each with the address of its link, and counts up their epochs.
    /// Terminals that were deleted are missing from the answer.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_opened(
        &self,
        node: &str,
        links: &[(TerminalId, String)],
    ) -> Result<HashMap<TerminalId, TerminalSession>, DbError> {
        let node = text::sent(node, NAME_CHARS_MAX);
        let (terminals, peers): (Vec<i64>, Vec<String>) =
            links.iter().map(|(terminal, peer)| (terminal.0, text::sent(peer, NAME_CHARS_MAX))).unzip();
        self.links(move |conn| {
            let opened: Vec<SessionRow> = sql_query(
                "WITH k AS (SELECT t.id, k.peer FROM unnest($1::bigint[], $2::text[]) AS k (id, peer) \
                   JOIN terminal t ON t.id = k.id ORDER BY t.id FOR NO KEY UPDATE OF t), \
                 opened AS (UPDATE terminal t SET session_epoch = t.session_epoch + 1, online = true, node = $3, \
                   peer = k.peer, last_seen_at = now() FROM k WHERE t.id = k.id RETURNING t.id, t.session_epoch) \
                 SELECT o.id, o.session_epoch, l.dated_at, l.dated_alarms \
                 FROM opened o LEFT JOIN latest_position l ON l.terminal_id = o.id",
            )
            .bind::<Array<BigInt>, _>(&terminals)
            .bind::<Array<Text>, _>(&peers)
            .bind::<Text, _>(node)
            .load(conn)?;
            let session =
                |row: SessionRow| TerminalSession { epoch: row.session_epoch, newest: row.newest() };
            Ok(opened.into_iter().map(|row| (TerminalId(row.id), session(row))).collect())
        })
        .await
    }

    /// Marks those terminals offline whose epoch is still the given one; says which.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_closed(&self, ended: &[(TerminalId, i64)]) -> Result<Vec<TerminalId>, DbError> {
        let (terminals, epochs): (Vec<i64>, Vec<i64>) =
            ended.iter().map(|(terminal, epoch)| (terminal.0, *epoch)).unzip();
        self.links(move |conn| {
            let closed: Vec<Key> = sql_query(
                "WITH k AS (SELECT t.id, k.epoch FROM unnest($1::bigint[], $2::bigint[]) AS k (id, epoch) \
                   JOIN terminal t ON t.id = k.id ORDER BY t.id FOR NO KEY UPDATE OF t) \
                 UPDATE terminal t SET online = false, last_seen_at = now() FROM k \
                 WHERE t.id = k.id AND t.session_epoch = k.epoch AND t.online RETURNING t.id",
            )
            .bind::<Array<BigInt>, _>(&terminals)
            .bind::<Array<BigInt>, _>(&epochs)
            .load(conn)?;
            Ok(closed.into_iter().map(|key| TerminalId(key.id)).collect())
        })
        .await
    }

    /// Marks those of `terminals` offline that `node` holds, whatever their epochs; says which. For sessions whose
    /// opening had an unknown outcome: it waits until that is settled. The caller opens none of them meanwhile.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_given_up(
        &self,
        node: &str,
        terminals: &[TerminalId],
    ) -> Result<Vec<TerminalId>, DbError> {
        let node = text::sent(node, NAME_CHARS_MAX);
        let terminals: Vec<i64> = terminals.iter().map(|terminal| terminal.0).collect();
        self.links(move |conn| {
            // first, so that the change sees what it had to wait for
            sql_query("SELECT FROM terminal WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE")
                .bind::<Array<BigInt>, _>(&terminals)
                .execute(conn)?;
            let closed: Vec<Key> = sql_query(
                "UPDATE terminal SET online = false, last_seen_at = now() \
                 WHERE id = ANY ($1) AND node = $2 AND online RETURNING id",
            )
            .bind::<Array<BigInt>, _>(&terminals)
            .bind::<Text, _>(node)
            .load(conn)?;
            Ok(closed.into_iter().map(|key| TerminalId(key.id)).collect())
        })
        .await
    }

    /// Marks those terminals online again whose epoch is still the given one: somebody took their node for lost, and it
    /// is not. Says which.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_kept(&self, held: &[(TerminalId, i64)]) -> Result<Vec<TerminalId>, DbError> {
        let (terminals, epochs): (Vec<i64>, Vec<i64>) =
            held.iter().map(|(terminal, epoch)| (terminal.0, *epoch)).unzip();
        self.links(move |conn| {
            let kept: Vec<Key> = sql_query(
                "WITH k AS (SELECT t.id, k.epoch FROM unnest($1::bigint[], $2::bigint[]) AS k (id, epoch) \
                   JOIN terminal t ON t.id = k.id WHERE NOT t.online AND t.session_epoch = k.epoch \
                   ORDER BY t.id FOR NO KEY UPDATE OF t) \
                 UPDATE terminal t SET online = true FROM k \
                 WHERE t.id = k.id AND t.session_epoch = k.epoch AND NOT t.online RETURNING t.id",
            )
            .bind::<Array<BigInt>, _>(&terminals)
            .bind::<Array<BigInt>, _>(&epochs)
            .load(conn)?;
            Ok(kept.into_iter().map(|key| TerminalId(key.id)).collect())
        })
        .await
    }

    /// Marks every terminal offline that `node` held: the node starts anew and holds none. Says which.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_lost(&self, node: &str) -> Result<Vec<TerminalId>, DbError> {
        let node = text::sent(node, NAME_CHARS_MAX);
        self.links(move |conn| {
            let lost: Vec<Key> =
                sql_query("UPDATE terminal SET online = false WHERE node = $1 AND online RETURNING id")
                    .bind::<Text, _>(node)
                    .load(conn)?;
            Ok(lost.into_iter().map(|key| TerminalId(key.id)).collect())
        })
        .await
    }

    /// The alarm bits of the terminals' newest stored dated reports. Terminals that were deleted are missing.
    ///
    /// # Errors
    /// As any query.
    pub async fn newest_alarms(
        &self,
        terminals: &[TerminalId],
    ) -> Result<HashMap<TerminalId, NewestAlarms>, DbError> {
        let terminals: Vec<i64> = terminals.iter().map(|terminal| terminal.0).collect();
        self.links(move |conn| {
            let rows: Vec<SessionRow> = sql_query(
                "SELECT t.id, t.session_epoch, l.dated_at, l.dated_alarms \
                 FROM terminal t LEFT JOIN latest_position l ON l.terminal_id = t.id WHERE t.id = ANY ($1)",
            )
            .bind::<Array<BigInt>, _>(&terminals)
            .load(conn)?;
            Ok(rows.into_iter().map(|row| (TerminalId(row.id), row.newest())).collect())
        })
        .await
    }

    /// SIM and revocation count of the terminals. Those that were deleted are missing.
    ///
    /// # Errors
    /// As any query.
    pub async fn revocations(
        &self,
        terminals: &[TerminalId],
    ) -> Result<HashMap<TerminalId, (String, u32)>, DbError> {
        let terminals: Vec<i64> = terminals.iter().map(|terminal| terminal.0).collect();
        self.links(move |conn| {
            let rows: Vec<RevocationsRow> =
                sql_query("SELECT id, sim, auth_revocations FROM terminal WHERE id = ANY ($1)")
                    .bind::<Array<BigInt>, _>(&terminals)
                    .load(conn)?;
            let count = |row: RevocationsRow| (row.sim, row.auth_revocations.cast_unsigned());
            Ok(rows.into_iter().map(|row| (TerminalId(row.id), count(row))).collect())
        })
        .await
    }
}
