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
mod redirect;
mod scope;
mod server;
mod stream;

pub use alarm::{Alarm, AlarmChange, AlarmKind, AlarmSet};
pub use av::{AudioCodec, AvAttributes, VideoCodec};
pub use command::{Command, Reply, SendError, TerminalLink};
pub use event::{Event, Filter, Presence, StreamChange};
pub use id::{
    AccountId, AlarmId, Channel, ChannelError, CompanyId, DeviceProfileId, RoleId, Sim, SimError, TerminalId,
    VehicleId,
};
pub use position::{Position, Recency, Report, StatusSet};
pub use redirect::RedirectForm;
pub use scope::{Companies, Permission, Scope};
pub use server::{
    ServerAddress, ServerHost, ServerHostError, ServersChange, ServersError, TerminalServers, ToldServer,
};
pub use stream::{Profile, StreamClass, StreamKey, StreamKeyError};
