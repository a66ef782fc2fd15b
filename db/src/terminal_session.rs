//! A terminal's login at a gateway: online and offline, with an epoch so that a late farewell of an old
//! link changes nothing.

use chrono::{DateTime, Utc};
use model::{AlarmSet, TerminalId};

use crate::{Db, DbError};

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
        todo!()
    }

    /// Marks a terminal offline if `epoch` is still its current one; says whether it was.
    pub async fn session_closed(&self, terminal: TerminalId, epoch: i64) -> Result<bool, DbError> {
        todo!()
    }

    /// Marks every terminal offline that `node` held: the node starts anew and holds none. Says which.
    pub async fn sessions_lost(&self, node: &str) -> Result<Vec<TerminalId>, DbError> {
        todo!()
    }

    /// The alarm bits of the newest stored dated report; nothing where there is none.
    pub async fn newest_alarms(&self, terminal: TerminalId) -> Result<AlarmSet, DbError> {
        todo!()
    }
}
