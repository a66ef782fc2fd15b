//! The words of the platform: identities, positions, alarms, commands, events, streams.
//!
//! Plain structures that move between roles and, where the shape suits, out through the HTTP API.
//! Knows no sockets, no SQL, no HTTP and no wire protocol.

mod alarm;
mod av;
mod command;
mod event;
mod id;
mod position;
mod scope;
mod stream;

pub use alarm::{Alarm, AlarmChange, AlarmKind, AlarmSet};
pub use av::{AudioCodec, AvAttributes, VideoCodec};
pub use command::{Command, Reply, SendError, TerminalLink};
pub use event::{Event, Filter, Presence, StreamChange};
pub use id::{
    AccountId, AlarmId, Channel, ChannelError, CompanyId, RoleId, Sim, SimError, TerminalId, VehicleId,
};
pub use position::{Position, Recency, Report, StatusSet};
pub use scope::{Companies, Permission, Scope};
pub use stream::{Profile, StreamClass, StreamKey, StreamKeyError};
