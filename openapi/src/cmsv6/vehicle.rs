//! `queryUserVehicle`: companies, vehicles, devices; `getDeviceOlStatus`.

use serde::Serialize;

/// The reply of `queryUserVehicle`.
#[derive(Clone, Debug, Serialize)]
pub struct UserVehicles {
    /// The vehicles that the account sees.
    pub vehicles: Vec<Vehicle>,
    /// The companies that it sees.
    pub companys: Vec<Company>,
}

/// A vehicle.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vehicle {
    /// Row id.
    pub id: i64,
    /// Plate; the `vehiIdno` of other actions.
    pub nm: String,
    /// Icon number.
    pub ic: u8,
    /// Company.
    pub pid: i64,
    /// The company's name.
    pub pnm: String,
    /// Plate type: the code of its colour.
    pub pt: String,
    /// 2: ordinary passenger.
    pub vehicle_type: u8,
    /// Devices.
    pub dl: Vec<Device>,
    /// Unused by clients, null like all that follow until the texts.
    pub abbr: Option<()>,
    /// Null.
    pub adt: Option<()>,
    /// Null.
    pub desc: Option<()>,
    /// Null.
    pub djb: Option<()>,
    /// Null.
    pub dn: Option<()>,
    /// Null.
    pub dt: Option<()>,
    /// Null.
    pub etm: Option<()>,
    /// Null.
    pub lines_operation: Option<()>,
    /// Null.
    pub phone: Option<()>,
    /// Null.
    pub pvg: Option<()>,
    /// Null.
    pub st: Option<()>,
    /// Null.
    pub vtp: Option<()>,
    /// Text, empty: one client decodes these as text.
    pub vehi_type: &'static str,
    /// Text, empty.
    pub vehi_color: &'static str,
    /// Text, empty.
    pub vehi_band: &'static str,
    /// Text, empty.
    pub owner_name: &'static str,
    /// Text, empty.
    pub engine_num: &'static str,
    /// Text, empty.
    pub frame_num: &'static str,
}

/// A device of a vehicle.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Device number; the `devIdno` of other actions.
    pub id: String,
    /// Company.
    pub pid: i64,
    /// Number of inputs.
    pub ic: u8,
    /// Their names.
    pub io: &'static str,
    /// Number of channels.
    pub cc: usize,
    /// Their names, between commas.
    pub cn: String,
    /// Number of temperature sensors.
    pub tc: u8,
    /// Their names.
    pub tn: &'static str,
    /// Capability bits; 0: video.
    pub md: u32,
    /// SIM.
    pub sim: Option<String>,
    /// 0: no monthly quota.
    pub nflt: u8,
    /// Row id.
    pub did: i64,
    /// The same again in the spelling of a recorded reply.
    #[serde(rename = "dId")]
    pub row: i64,
    /// Protocol; 6: JT/T 808.
    pub isb: u8,
    /// Use state; 0: normal.
    pub us: u8,
    /// End of service; 0: none.
    pub pay_end: i64,
    /// When it was installed.
    pub ist: String,
    /// Null.
    pub sdc: Option<()>,
    /// Null.
    pub st: Option<()>,
    /// Null.
    pub vt: Option<()>,
}

/// A company.
#[derive(Clone, Debug, Serialize)]
pub struct Company {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub nm: String,
    /// The company above it; 0 at the top of what the account sees.
    pub pid: i64,
    /// The same again in the spelling of a recorded reply.
    #[serde(rename = "pId")]
    pub parent: i64,
}

/// The reply of `getDeviceOlStatus`.
#[derive(Clone, Debug, Serialize)]
pub struct Onlines {
    /// A device each.
    pub onlines: Vec<Online>,
}

/// Whether a device is online.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Online {
    /// Device number.
    pub did: String,
    /// Plate; null when asked by device.
    pub vid: Option<String>,
    /// 1 or 0.
    pub online: u8,
}
