//! PostgreSQL: rows, queries, migrations, pools, the private server.
//!
//! Every query that a person asks for takes a [`model::Scope`] and answers for what lies outside of it
//! as for what does not exist ([`DbError::NotFound`]). Knows no HTTP, no wire protocol, and never asks
//! who somebody is.

mod account;
mod alarm;
mod audit;
mod backup;
mod channel;
mod company;
mod database;
mod device_profile;
mod error;
mod login;
mod maintenance;
mod migration;
mod node;
mod page;
mod partition;
mod pending_terminal;
mod position;
pub mod private;
mod quarantine;
mod role;
mod state;
mod store;
mod terminal;
mod terminal_session;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;
mod track;
mod vehicle;

pub use account::{Account, AccountChange, Credentials, NewAccount, NewPassword, Rights};
pub use alarm::{AlarmQuery, AlarmRecord, Handled};
pub use audit::Change;
pub use backup::{BackupError, Manifest, backup, restore_into};
pub use channel::TerminalChannel;
pub use company::{Company, CompanyChange, NewCompany, ROOT_COMPANY};
pub use database::{Db, DbSettings, PoolSettings};
pub use device_profile::{DeviceProfile, DeviceProfileChange, NewDeviceProfile};
pub use error::DbError;
pub use login::Rotation;
pub use maintenance::Maintained;
pub use migration::{migrate, revert_all, schema_version};
pub use node::{LeaderError, NodeEvent, NodeEventKind, NodeLife, NodeOnRecord};
pub use page::{Page, Paged};
pub use pending_terminal::{Approval, PendingTerminal};
pub use position::{LatestPosition, Track};
pub use quarantine::UnreadableBody;
pub use role::{NewRole, Role, RoleChange};
pub use state::DatabaseState;
pub use store::{Outcome, Stored};
pub use terminal::{NewTerminal, Registration, Terminal, TerminalChange};
pub use terminal_session::{NewestAlarms, TerminalSession};
pub use track::{CountedTrack, Limit, TrackPart, TrackPosition};
pub use vehicle::{NewVehicle, Vehicle, VehicleChange, VehicleQuery};
