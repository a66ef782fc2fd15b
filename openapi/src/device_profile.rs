//! Device profiles: what a model of devices does differently.

use chrono::{DateTime, Utc};
use model::{CompanyId, DeviceProfileId, RedirectForm};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A device profile. Terminals that have none are met as the platform's settings say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceProfile {
    /// Its key.
    pub id: DeviceProfileId,
    /// The company that it belongs to; terminals of that company and below may have it.
    pub company_id: CompanyId,
    /// Its name, unique in its company.
    pub name: String,
    /// How the numbers of 0x8105 (go to another server) are written; null: as the platform's setting says.
    pub redirect_form: Option<RedirectForm>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl From<db::DeviceProfile> for DeviceProfile {
    fn from(row: db::DeviceProfile) -> Self {
        let db::DeviceProfile { id, company_id, name, redirect_form, created_at } = row;
        Self { id, company_id, name, redirect_form, created_at }
    }
}

/// A device profile to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeviceProfile {
    /// The company that it belongs to.
    pub company_id: CompanyId,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// How the numbers of 0x8105 are written; as the platform's setting says where absent.
    #[serde(default)]
    pub redirect_form: Option<RedirectForm>,
}

impl From<NewDeviceProfile> for db::NewDeviceProfile {
    fn from(new: NewDeviceProfile) -> Self {
        let NewDeviceProfile { company_id, name, redirect_form } = new;
        Self { company_id, name, redirect_form }
    }
}

/// What to change of a device profile; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceProfileChange {
    /// Another name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub name: Option<String>,
    /// Another form; null: as the platform's setting says.
    #[serde(default, deserialize_with = "crate::present")]
    #[schema(value_type = Option<RedirectForm>)]
    pub redirect_form: Option<Option<RedirectForm>>,
}

impl From<DeviceProfileChange> for db::DeviceProfileChange {
    fn from(change: DeviceProfileChange) -> Self {
        let DeviceProfileChange { name, redirect_form } = change;
        Self { name, redirect_form }
    }
}
