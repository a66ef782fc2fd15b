//! What happens, as roles tell each other and the API tells the world.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Alarm, AlarmChange, Position, StreamKey, TerminalId};

/// Something that happened to a terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A position was stored.
    Position(Position),
    /// An alarm began, ended, or was put right.
    Alarm {
        /// What happened to it.
        change: AlarmChange,
        /// The alarm as it now stands.
        alarm: Alarm,
    },
    /// A terminal came or went.
    Presence {
        /// Which.
        terminal: TerminalId,
        /// Came or went.
        presence: Presence,
    },
    /// A stream's source came, was lost, or ended.
    Stream {
        /// Which.
        stream: StreamKey,
        /// What happened.
        change: StreamChange,
    },
}

impl Event {
    /// The terminal that it is about.
    pub fn terminal(&self) -> TerminalId {
        match self {
            Self::Position(position) => position.terminal,
            Self::Alarm { alarm, .. } => alarm.terminal,
            Self::Presence { terminal, .. } => *terminal,
            Self::Stream { stream, .. } => stream.terminal,
        }
    }
}

/// Whether a terminal has an authenticated link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It authenticated.
    Online,
    /// Its last link is gone.
    Offline,
}

/// What happened to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamChange {
    /// Frames flow.
    Live,
    /// The source was lost while somebody watches; it is being asked again.
    Recovering,
    /// Nobody watches any more, or the source did not come back.
    Ended,
}

/// Which events a subscriber wants. Everything by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this terminal.
    pub terminal: Option<TerminalId>,
}

impl Filter {
    /// Whether `event` is wanted.
    pub fn wants(&self, event: &Event) -> bool {
        self.terminal.is_none_or(|terminal| terminal == event.terminal())
    }
}
