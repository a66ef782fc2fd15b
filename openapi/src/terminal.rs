//! Terminals and their channels.

use chrono::{DateTime, Utc};
use model::{CompanyId, DeviceProfileId, Sim, TerminalId, VehicleId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Terminal {
    /// Its key.
    pub id: TerminalId,
    /// Its phone number, the JT/T 808 identity, without leading zeros.
    pub sim: Sim,
    /// The number by which people and outside programs name it.
    pub device_no: String,
    /// The vehicle that carries it; null in stock.
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is.
    pub company_id: CompanyId,
    /// Its device profile; null: it is met as the platform's settings say.
    pub device_profile_id: Option<DeviceProfileId>,
    /// JT/T 808 edition of its last registration or log-in: 2011, 2013 or 2019; null before.
    pub edition: Option<u16>,
    /// Maker id of its registration.
    pub maker: String,
    /// Model of its registration.
    pub model: String,
    /// Terminal id of its registration.
    pub terminal_no: String,
    /// Whether it has an authenticated link.
    pub online: bool,
    /// When it last authenticated, lost its link, or sent a stored report.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Address of its current or last link, as the gateway saw it.
    pub peer: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Its channels, by number.
    pub channels: Vec<TerminalChannel>,
}

impl From<db::Terminal> for Terminal {
    fn from(row: db::Terminal) -> Self {
        let db::Terminal {
            id,
            sim,
            device_no,
            vehicle_id,
            company_id,
            device_profile_id,
            // Told with the profile.
            redirect_form: _,
            edition,
            maker,
            model,
            terminal_no,
            // How links and authentication codes are counted is nobody's business outside.
            auth_revocations: _,
            session_epoch: _,
            online,
            node: _,
            last_seen_at,
            peer,
            created_at,
            channels,
        } = row;
        Self {
            id,
            sim,
            device_no,
            vehicle_id,
            company_id,
            device_profile_id,
            edition,
            maker,
            model,
            terminal_no,
            online,
            last_seen_at,
            peer,
            created_at,
            channels: channels.into_iter().map(Into::into).collect(),
        }
    }
}

/// A channel of a terminal: a camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TerminalChannel {
    /// Its number, from 1.
    pub number: model::Channel,
    /// What people call it.
    pub name: String,
}

impl From<db::TerminalChannel> for TerminalChannel {
    fn from(row: db::TerminalChannel) -> Self {
        let db::TerminalChannel { number, name } = row;
        Self { number, name }
    }
}

/// What to change of a channel.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelChange {
    /// What people call it, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
}

/// A terminal to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTerminal {
    /// Its phone number, 1 to 20 digits.
    pub sim: Sim,
    /// The number for people, 1 to 32 characters; the SIM where absent.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 32)]
    pub device_no: Option<String>,
    /// The vehicle that carries it.
    #[serde(default)]
    pub vehicle_id: Option<VehicleId>,
    /// Whose it is; the vehicle's company where absent. One of the two must be there.
    #[serde(default)]
    pub company_id: Option<CompanyId>,
}

impl From<NewTerminal> for db::NewTerminal {
    fn from(new: NewTerminal) -> Self {
        let NewTerminal { sim, device_no, vehicle_id, company_id } = new;
        Self { sim, device_no, vehicle_id, company_id }
    }
}

/// What to change of a terminal; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalChange {
    /// Another number for people.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 32)]
    pub device_no: Option<String>,
    /// Another vehicle, whose company it then belongs to, with its tracks and alarms; null for none.
    #[serde(default, deserialize_with = "crate::present")]
    #[schema(value_type = Option<VehicleId>)]
    pub vehicle_id: Option<Option<VehicleId>>,
    /// Another company, for a terminal without a vehicle; its tracks and alarms go with it.
    #[serde(default)]
    pub company_id: Option<CompanyId>,
    /// Another device profile, of its company or one above; null for none. One that the terminal's next company may not
    /// use is dropped when it goes there.
    #[serde(default, deserialize_with = "crate::present")]
    #[schema(value_type = Option<DeviceProfileId>)]
    pub device_profile_id: Option<Option<DeviceProfileId>>,
    /// True makes every authentication code given so far invalid and ends the terminal's link.
    #[serde(default)]
    pub revoke_auth: bool,
}

impl From<TerminalChange> for db::TerminalChange {
    fn from(change: TerminalChange) -> Self {
        let TerminalChange { device_no, vehicle_id, company_id, device_profile_id, revoke_auth } = change;
        Self { device_no, vehicle_id, company_id, device_profile_id, revoke_auth }
    }
}
