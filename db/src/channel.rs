//! Channels of a terminal: how many, and what people call them.

use std::collections::HashMap;

use diesel::sql_types::{Array, BigInt, SmallInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use model::{Channel, Scope, TerminalId};
use serde_json::json;

use crate::{Db, DbError, audit, terminal, text};

/// A channel of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalChannel {
    /// Its number, from 1.
    pub number: Channel,
    /// What people call it.
    pub name: String,
}

#[derive(QueryableByName)]
struct ChannelRow {
    #[diesel(sql_type = BigInt)]
    terminal_id: i64,
    #[diesel(sql_type = SmallInt)]
    number: i16,
    #[diesel(sql_type = Text)]
    name: String,
}

/// Longest name, characters.
const NAME_CHARS_MAX: usize = 64;

impl Db {
    /// Channels of a new terminal, until it says how many it has.
    pub const CHANNELS_DEFAULT: u8 = 4;

    /// The channels of a terminal, by number.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn channels(
        &self,
        scope: &Scope,
        terminal: TerminalId,
    ) -> Result<Vec<TerminalChannel>, DbError> {
        Ok(self.terminal(scope, terminal).await?.channels)
    }

    /// Names a channel (1 to 64 characters).
    ///
    /// # Errors
    /// [`DbError::NotFound`] for the terminal or the channel; [`DbError::Invalid`] for a name that is none.
    pub async fn rename_channel(
        &self,
        scope: &Scope,
        terminal: TerminalId,
        number: Channel,
        name: String,
    ) -> Result<TerminalChannel, DbError> {
        let name = text::given("name", &name, NAME_CHARS_MAX)?;
        let scope = scope.clone();
        self.control(move |conn| {
            terminal::one(conn, &scope, terminal)?;
            let renamed = sql_query("UPDATE channel SET name = $3 WHERE terminal_id = $1 AND number = $2")
                .bind::<BigInt, _>(terminal.0)
                .bind::<SmallInt, _>(i16::from(number.number()))
                .bind::<Text, _>(&name)
                .execute(conn)?;
            if renamed == 0 {
                return Err(DbError::NotFound);
            }
            let detail = json!({ "channel": number, "name": name });
            audit::record(conn, &scope, "rename_channel", "terminal", terminal, detail)?;
            Ok(TerminalChannel { number, name })
        })
        .await
    }

    /// Makes the terminal have channels 1 to `count`, as it said itself (0x1003); names of those that
    /// stay are kept. 0 changes nothing.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where the terminal was deleted.
    pub async fn set_channels(&self, terminal: TerminalId, count: u8) -> Result<(), DbError> {
        if count == 0 {
            return Ok(());
        }
        self.links(move |conn| {
            terminal::one(conn, &Scope::platform(), terminal)?;
            sql_query("DELETE FROM channel WHERE terminal_id = $1 AND number > $2")
                .bind::<BigInt, _>(terminal.0)
                .bind::<SmallInt, _>(i16::from(count))
                .execute(conn)?;
            make(conn, terminal, count)
        })
        .await
    }
}

/// Makes those of channels 1 to `count` that are not there.
pub(crate) fn make(conn: &mut PgConnection, terminal: TerminalId, count: u8) -> Result<(), DbError> {
    sql_query(
        "INSERT INTO channel (terminal_id, number, name) SELECT $1, n, 'CH' || n FROM generate_series(1, $2) AS n \
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(terminal.0)
    .bind::<diesel::sql_types::Integer, _>(i32::from(count))
    .execute(conn)?;
    Ok(())
}

/// The channels of each of the terminals, by number.
pub(crate) fn of(
    conn: &mut PgConnection,
    terminals: &[i64],
) -> Result<HashMap<i64, Vec<TerminalChannel>>, DbError> {
    let rows: Vec<ChannelRow> = sql_query(
        "SELECT terminal_id, number, name FROM channel WHERE terminal_id = ANY ($1) ORDER BY terminal_id, number",
    )
    .bind::<Array<BigInt>, _>(terminals)
    .load(conn)?;
    let mut channels: HashMap<i64, Vec<TerminalChannel>> = HashMap::new();
    for ChannelRow { terminal_id, number, name } in rows {
        // the table's own check keeps them within 1 to 255
        if let Some(number) = u8::try_from(number).ok().and_then(|number| Channel::new(number).ok()) {
            channels.entry(terminal_id).or_default().push(TerminalChannel { number, name });
        }
    }
    Ok(channels)
}
