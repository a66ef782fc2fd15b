//! `getDeviceStatus` and the rows of `queryTrackDetail`: one shape.

use serde::Serialize;

use super::envelope::Pagination;

/// The reply of `getDeviceStatus`.
#[derive(Clone, Debug, Serialize)]
pub struct Statuses {
    /// A device each.
    pub status: Vec<DeviceStatus>,
}

/// The reply of `queryTrackDetail`.
#[derive(Clone, Debug, Serialize)]
pub struct Tracks {
    /// A position each, by rising time.
    pub tracks: Vec<DeviceStatus>,
    /// Which page.
    pub pagination: Pagination,
}

/// A device at a time. A complete reply of the original has every key; clients read by name, so what we do
/// not know is null or 0.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Device number.
    pub id: String,
    /// Plate; null when asked by device and in tracks.
    pub vid: Option<String>,
    /// Null.
    pub abbr: Option<()>,
    /// Longitude, millionths of a degree; 0 without a fix.
    pub lng: i32,
    /// Latitude, millionths of a degree; 0 without a fix.
    pub lat: i32,
    /// Longitude on the map asked for, degrees with six decimals, as text.
    pub mlng: String,
    /// Latitude on the map asked for, degrees with six decimals, as text.
    pub mlat: String,
    /// Null.
    pub glng: Option<()>,
    /// Null.
    pub glat: Option<()>,
    /// Speed, tenths of km/h.
    pub sp: i32,
    /// Heading, degrees, north 0, clockwise.
    pub hx: i32,
    /// 1 online, 0 offline; null in tracks.
    pub ol: Option<u8>,
    /// Device time in the server's zone; in status with `.0` at the end.
    pub gt: String,
    /// Receive time, where `lg` is 2.
    pub rt: Option<String>,
    /// Protocol; 6: JT/T 808.
    pub pt: u8,
    /// Maker.
    pub ft: u8,
    /// Subtype; of JT/T 808, 3: with JT/T 1078.
    pub fdt: u8,
    /// Kind of disk; 1: SD.
    pub dt: u8,
    /// Audio codec number.
    pub ac: u8,
    /// Network; 3: 4G.
    pub net: u8,
    /// Gateway server.
    pub gw: &'static str,
    /// Status bits.
    pub s1: i32,
    /// Status bits.
    pub s2: i32,
    /// Status bits.
    pub s3: i32,
    /// Status bits.
    pub s4: i32,
    /// Temperature; no sensor.
    pub t1: i32,
    /// Temperature; no sensor.
    pub t2: i32,
    /// Temperature; no sensor.
    pub t3: i32,
    /// Temperature; no sensor.
    pub t4: i32,
    /// Seconds parked; not counted.
    pub pk: i32,
    /// Odometer, metres.
    pub lc: i64,
    /// Fuel, hundredths of a litre.
    pub yl: i32,
    /// Fuel in a second tank; none.
    pub vice_yl: i32,
    /// Where, as text: `mlng,mlat`.
    pub ps: String,
    /// Null.
    pub pss: Option<()>,
    /// Speed by the recorder, tenths of km/h.
    pub tsp: i32,
    /// Null.
    pub dn: Option<()>,
    /// Null.
    pub jn: Option<()>,
    /// Null.
    pub dinfo: Option<()>,
    /// Null.
    pub dri_jn: Option<()>,
    /// Null.
    pub dri_sw: Option<()>,
    /// Null.
    pub dri_sw_str: Option<()>,
    /// Log-in type; 0.
    pub lt: u8,
    /// 0: normal.
    pub ust: u8,
    /// Satellites.
    pub sn: i32,
    /// Null.
    pub sv: Option<()>,
    /// Null.
    pub hv: Option<()>,
    /// Null.
    pub imei: Option<()>,
    /// Null.
    pub imsi: Option<()>,
    /// Null.
    pub po: Option<()>,
    /// Null.
    pub lg: Option<()>,
    /// Module bits.
    pub ls: i32,
    /// Carriage temperature.
    pub ct: i32,
    /// Input word.
    pub ios: i32,
    /// Extended signal word.
    pub es: i32,
    /// Analog word.
    pub aq: i32,
    /// Active safety; not built.
    pub adas1: i32,
    /// Active safety; not built.
    pub adas2: i32,
    /// Active safety; not built.
    pub dsm1: i32,
    /// Active safety; not built.
    pub dsm2: i32,
    /// Active safety; not built.
    pub bsd1: i32,
    /// Active safety; not built.
    pub bsd2: i32,
    /// Active safety; not built.
    pub fvs: i32,
    /// Active safety; not built.
    pub dst: i32,
    /// Active safety; not built.
    pub rfd: i32,
    /// Active safety; not built.
    pub dvt: i32,
    /// Active safety; not built.
    pub rft: i32,
    /// Active safety; not built.
    pub fl: i32,
    /// Active safety; not built.
    pub yn: i32,
    /// Active safety; not built.
    pub cet: i32,
    /// Active safety; not built.
    pub wc: i32,
    /// Tyre pressure.
    pub tp: &'static str,
    /// Null.
    pub ef: Option<()>,
    /// Extra, as `ef` says.
    pub p1: i32,
    /// Extra, as `ef` says.
    pub p2: i32,
    /// Extra, as `ef` says.
    pub p3: i32,
    /// Extra, as `ef` says.
    pub p4: i32,
    /// Extra, as `ef` says.
    pub p5: i32,
    /// Extra, as `ef` says.
    pub p6: i32,
    /// Extra, as `ef` says.
    pub p7: i32,
    /// Extra, as `ef` says.
    pub p8: i32,
    /// Extra, as `ef` says.
    pub p9: i32,
    /// Extra, as `ef` says.
    pub p10: i32,
    /// Null.
    pub or: Option<()>,
    /// Null.
    pub os: Option<()>,
    /// Null.
    pub ov: Option<()>,
    /// Null.
    pub ojt: Option<()>,
    /// Null.
    pub ost: Option<()>,
    /// Null.
    pub ojm: Option<()>,
    /// Null.
    pub lid: Option<()>,
    /// Null.
    pub drid: Option<()>,
    /// Null.
    pub dct: Option<()>,
    /// Null.
    pub sfg: Option<()>,
    /// Null.
    pub snm: Option<()>,
    /// Null.
    pub sst: Option<()>,
}
