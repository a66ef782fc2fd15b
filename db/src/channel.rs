//! Channels of a terminal: how many, and what people call them.

use model::{Channel, Scope, TerminalId};

use crate::{Db, DbError};

/// A channel of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalChannel {
    /// Its number, from 1.
    pub number: Channel,
    /// What people call it.
    pub name: String,
}

impl Db {
    /// Channels of a new terminal, until it says how many it has.
    pub const CHANNELS_DEFAULT: u8 = 4;

    /// The channels of a terminal, by number.
    pub async fn channels(
        &self,
        scope: &Scope,
        terminal: TerminalId,
    ) -> Result<Vec<TerminalChannel>, DbError> {
        todo!()
    }

    /// Names a channel (1 to 64 characters).
    pub async fn rename_channel(
        &self,
        scope: &Scope,
        terminal: TerminalId,
        number: Channel,
        name: String,
    ) -> Result<TerminalChannel, DbError> {
        todo!()
    }

    /// Makes the terminal have channels 1 to `count`, as it said itself (0x1003); names of those that
    /// stay are kept. 0 changes nothing.
    pub async fn set_channels(&self, terminal: TerminalId, count: u8) -> Result<(), DbError> {
        todo!()
    }
}
