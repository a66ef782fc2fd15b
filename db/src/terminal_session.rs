//! A terminal's login at a gateway: online and offline, with an epoch so that a late farewell of an old
//! link changes nothing.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use model::{AlarmSet, TerminalId};

use crate::company::Key;
use crate::{Db, DbError, text};

/// An opened session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSession {
    /// Names this session among the terminal's; give it back when the link closes.
    pub epoch: i64,
    /// The newest stored device time; None where nothing dated is stored.
    pub newest_at: Option<DateTime<Utc>>,
    /// The alarm bits at [`newest_at`](Self::newest_at).
    pub alarms: AlarmSet,
}

#[derive(QueryableByName)]
struct NewestRow {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    dated_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    dated_alarms: i64,
}

/// Longest name of a node and longest address, characters.
const NAME_CHARS_MAX: usize = 255;

impl Db {
    /// Marks a terminal online at `node` and counts up its epoch.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where the terminal was deleted.
    pub async fn session_opened(
        &self,
        terminal: TerminalId,
        node: &str,
        peer: &str,
    ) -> Result<TerminalSession, DbError> {
        let (node, peer) = (text::sent(node, NAME_CHARS_MAX), text::sent(peer, NAME_CHARS_MAX));
        self.control(move |conn| {
            let epoch: Key = sql_query(
                "UPDATE terminal SET session_epoch = session_epoch + 1, online = true, node = $2, peer = $3, \
                 last_seen_at = now() WHERE id = $1 RETURNING session_epoch AS id",
            )
            .bind::<BigInt, _>(terminal.0)
            .bind::<Text, _>(node)
            .bind::<Text, _>(peer)
            .get_result(conn)?;
            let newest: Vec<NewestRow> =
                sql_query("SELECT dated_at, dated_alarms FROM latest_position WHERE terminal_id = $1")
                    .bind::<BigInt, _>(terminal.0)
                    .load(conn)?;
            let (newest_at, alarms) =
                newest.first().map_or((None, 0), |newest| (newest.dated_at, newest.dated_alarms));
            Ok(TerminalSession { epoch: epoch.id, newest_at, alarms: AlarmSet(alarms.cast_unsigned()) })
        })
        .await
    }

    /// Marks a terminal offline if `epoch` is still its current one; says whether it was.
    ///
    /// # Errors
    /// As any query.
    pub async fn session_closed(&self, terminal: TerminalId, epoch: i64) -> Result<bool, DbError> {
        self.control(move |conn| {
            let closed = sql_query(
                "UPDATE terminal SET online = false, last_seen_at = now() WHERE id = $1 AND session_epoch = $2 AND online",
            )
            .bind::<BigInt, _>(terminal.0)
            .bind::<BigInt, _>(epoch)
            .execute(conn)?;
            Ok(closed > 0)
        })
        .await
    }

    /// Marks every terminal offline that `node` held: the node starts anew and holds none. Says which.
    ///
    /// # Errors
    /// As any query.
    pub async fn sessions_lost(&self, node: &str) -> Result<Vec<TerminalId>, DbError> {
        let node = text::sent(node, NAME_CHARS_MAX);
        self.control(move |conn| {
            let lost: Vec<Key> =
                sql_query("UPDATE terminal SET online = false WHERE node = $1 AND online RETURNING id")
                    .bind::<Text, _>(node)
                    .load(conn)?;
            Ok(lost.into_iter().map(|key| TerminalId(key.id)).collect())
        })
        .await
    }

    /// The alarm bits of the newest stored dated report; nothing where there is none.
    ///
    /// # Errors
    /// As any query.
    pub async fn newest_alarms(&self, terminal: TerminalId) -> Result<AlarmSet, DbError> {
        self.control(move |conn| {
            let newest: Vec<NewestRow> =
                sql_query("SELECT dated_at, dated_alarms FROM latest_position WHERE terminal_id = $1")
                    .bind::<BigInt, _>(terminal.0)
                    .load(conn)?;
            Ok(AlarmSet(newest.first().map_or(0, |newest| newest.dated_alarms.cast_unsigned())))
        })
        .await
    }
}
