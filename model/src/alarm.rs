//! Alarms: the standard alarm bits as a set, their kinds by name, and an alarm from start to end.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::{AlarmId, TerminalId};

/// What an alarm is about. Codes 0 to 31 are the bits of the alarm word of JT/T 808 (0x0200),
/// 32 to 63 the bits of JT/T 1078's video alarm word (additional item 0x14).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlarmKind(u8);

/// Names by code. Vendors reuse some of the bits; a device profile says so, the name here is the standard's.
const NAMES: [&str; 39] = [
    "emergency",
    "overspeed",
    "fatigue_driving",
    "dangerous_driving",
    "gnss_fault",
    "gnss_antenna_open",
    "gnss_antenna_short",
    "power_undervoltage",
    "power_lost",
    "display_fault",
    "tts_fault",
    "camera_fault",
    "ic_card_fault",
    "overspeed_warning",
    "fatigue_warning",
    "forbidden_period",
    "tyre_pressure",
    "right_turn_blind_area",
    "day_driving_limit",
    "parked_too_long",
    "area_crossed",
    "route_crossed",
    "section_time",
    "off_route",
    "vss_fault",
    "fuel_abnormal",
    "stolen",
    "illegal_ignition",
    "illegal_displacement",
    "collision",
    "rollover",
    "illegal_door_opening",
    "video_lost",
    "video_covered",
    "storage_fault",
    "video_fault",
    "overcrowded",
    "abnormal_driving",
    "alarm_recording_full",
];

impl AlarmKind {
    /// The kind with `code` 0 to 63; None beyond.
    pub fn new(code: u8) -> Option<Self> {
        (code < 64).then_some(Self(code))
    }

    /// The code, 0 to 63.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The standard's meaning as one word, where it gives one.
    pub fn name(self) -> Option<&'static str> {
        NAMES.get(usize::from(self.0)).copied()
    }

    /// The kind that has this [`name`](Self::name) (or the form `bit_NN` of a kind without one).
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(code) = NAMES.iter().position(|n| *n == name) {
            return u8::try_from(code).ok().and_then(Self::new);
        }
        name.strip_prefix("bit_")?.parse().ok().and_then(Self::new).filter(|kind| kind.name().is_none())
    }

    /// Every kind that the standards name.
    pub fn named() -> impl Iterator<Item = Self> {
        (0..64).map(Self).filter(|kind| kind.name().is_some())
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "bit_{}", self.0),
        }
    }
}

impl fmt::Debug for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for AlarmKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlarmKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown alarm kind {name}")))
    }
}

impl utoipa::PartialSchema for AlarmKind {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some(
                "What an alarm is about: the standard's meaning of its bit, or `bit_NN` where it gives none",
            ))
            .examples(["emergency", "overspeed"])
            .build()
            .into()
    }
}

impl ToSchema for AlarmKind {}

/// The alarm conditions that one report carries, a bit per [`AlarmKind`] code.
/// In JSON: the list of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AlarmSet(pub u64);

impl AlarmSet {
    /// From the 808 alarm word and, where the report has one, the 1078 video alarm word.
    pub fn from_words(alarm: u32, video: u32) -> Self {
        Self(u64::from(alarm) | u64::from(video) << 32)
    }

    /// Whether `kind` is in the set.
    pub fn contains(self, kind: AlarmKind) -> bool {
        self.0 >> kind.0 & 1 == 1
    }

    /// Kinds in `self` that are not in `other`.
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The kinds, by rising code.
    pub fn kinds(self) -> impl Iterator<Item = AlarmKind> {
        (0..64).map(AlarmKind).filter(move |kind| self.contains(*kind))
    }

    /// Whether nothing is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<AlarmKind> for AlarmSet {
    fn from_iter<I: IntoIterator<Item = AlarmKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind.0))
    }
}

impl Serialize for AlarmSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.kinds())
    }
}

impl<'de> Deserialize<'de> for AlarmSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<AlarmKind>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl utoipa::PartialSchema for AlarmSet {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ArrayBuilder::new()
            .items(AlarmKind::schema())
            .description(Some("Alarm conditions by name"))
            .build()
            .into()
    }
}

impl ToSchema for AlarmSet {}

/// One alarm of one terminal: a condition from its first report to the first report without it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// Derived from terminal, kind and start.
    pub id: AlarmId,
    /// Who raised it.
    pub terminal: TerminalId,
    /// What it is about.
    pub kind: AlarmKind,
    /// When it began: the device time of the first report that carries it (the arrival's, where the
    /// device's is impossible).
    pub start: DateTime<Utc>,
    /// When it ended: the device time of the first later report without it; null while it lasts.
    pub end: Option<DateTime<Utc>>,
    /// False while it has been seen but not yet stored.
    pub confirmed: bool,
    /// Where it began: degrees, north positive.
    pub latitude: f64,
    /// Where it began: degrees, east positive.
    pub longitude: f64,
    /// Speed when it began, km/h.
    pub speed_kmh: f64,
}

/// What happened to an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmChange {
    /// It was seen for the first time (possibly not yet stored: see `confirmed`), or its storing was confirmed.
    Started,
    /// It ended.
    Ended,
    /// A late report showed that it began earlier: another alarm with the true start takes its place.
    Superseded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_agree() {
        for code in 0..64 {
            let kind = AlarmKind::new(code).expect("below 64");
            assert_eq!(AlarmKind::from_name(&kind.to_string()), Some(kind));
        }
        assert_eq!(AlarmKind::new(64), None);
        assert_eq!(AlarmKind::from_name("bit_0"), None, "a named kind has one name only");
        let set = AlarmSet::from_words(0b11, 0b1);
        assert_eq!(
            serde_json::to_string(&set).expect("serialises"),
            r#"["emergency","overspeed","video_lost"]"#
        );
        assert_eq!(serde_json::from_str::<AlarmSet>(r#"["emergency"]"#).expect("parses"), AlarmSet(1));
    }
}
