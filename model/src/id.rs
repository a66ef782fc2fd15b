//! Identities: database keys as one newtype per noun, the SIM of a terminal, a channel number.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::AlarmKind;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<i64> for $name {
            fn from(key: i64) -> Self {
                Self(key)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

key!(
    /// A company: the tenant that owns vehicles and accounts. Companies form a tree.
    CompanyId
);
key!(
    /// A person's account.
    AccountId
);
key!(
    /// A role: a named set of permissions.
    RoleId
);
key!(
    /// A vehicle, which carries terminals.
    VehicleId
);
key!(
    /// A device profile: what a model of devices does differently.
    DeviceProfileId
);
key!(
    /// A terminal: the device in the vehicle (in prose, the MDVR).
    TerminalId
);

/// An alarm's identity, derived from its terminal, kind and start, so that a resend makes the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct AlarmId(pub Uuid);

impl AlarmId {
    const NAMESPACE: Uuid = Uuid::from_u128(0x6d6f_746f_7263_6164_652d_616c_6172_6d73);

    /// The identity of the alarm of `kind` that `terminal` raised at `start` (compared by the microsecond,
    /// PostgreSQL's resolution).
    pub fn derive(terminal: TerminalId, kind: AlarmKind, start: DateTime<Utc>) -> Self {
        let mut name = [0u8; 17];
        name[..8].copy_from_slice(&terminal.0.to_be_bytes());
        name[8] = kind.code();
        name[9..].copy_from_slice(&start.timestamp_micros().to_be_bytes());
        Self(Uuid::new_v5(&Self::NAMESPACE, &name))
    }
}

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A terminal's phone number as the JT/T 808 and 1078 headers carry it: 1 to 20 hexadecimal digits
/// (BCD, but some devices put binary there), leading zeros stripped, so that the 6-byte and the
/// 10-byte form of one number compare equal. A number of zeros only is "0".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, example = "13912345678")]
pub struct Sim(Box<str>);

impl Sim {
    /// The most digits a header carries (JT/T 808-2019: BCD\[10\]).
    pub const DIGITS_MAX: usize = 20;

    /// The digits, without leading zeros.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the header's raw bytes (6 in JT/T 808-2011/2013, 10 in 2019); longer input keeps its last 10 bytes.
    pub fn from_bcd(bytes: &[u8]) -> Self {
        let bytes = &bytes[bytes.len().saturating_sub(Self::DIGITS_MAX / 2)..];
        let mut digits = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            for nibble in [byte >> 4, byte & 0x0f] {
                if !(digits.is_empty() && nibble == 0) {
                    digits.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
        if digits.is_empty() {
            digits.push('0');
        }
        Self(digits.into_boxed_str())
    }

    /// Written into `N` header bytes, left-padded with zeros; None when the number has more than 2·N digits.
    pub fn to_bcd<const N: usize>(&self) -> Option<[u8; N]> {
        let digits = self.0.as_bytes();
        if digits.len() > 2 * N {
            return None;
        }
        let mut out = [0u8; N];
        for (place, digit) in digits.iter().rev().enumerate() {
            let value = u8::try_from(char::from(*digit).to_digit(16)?).ok()?;
            out[N - 1 - place / 2] |= value << (4 * (place % 2));
        }
        Some(out)
    }
}

impl fmt::Display for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no SIM.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a SIM has 1 to 20 digits")]
pub struct SimError;

impl FromStr for Sim {
    type Err = SimError;
    fn from_str(text: &str) -> Result<Self, SimError> {
        if text.is_empty() || text.len() > Self::DIGITS_MAX || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SimError);
        }
        let digits = text.trim_start_matches('0').to_ascii_uppercase();
        Ok(Self(if digits.is_empty() { "0".into() } else { digits.into_boxed_str() }))
    }
}

impl<'de> Deserialize<'de> for Sim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A logical channel of a terminal, 1 to 255 (JT/T 1076-2016 table 2; most recorders just count their cameras).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = u8, minimum = 1, maximum = 255, example = 1)]
pub struct Channel(u8);

/// Why a number is no channel.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a channel is a number from 1 to 255")]
pub struct ChannelError;

impl Channel {
    /// Channel `number`, which counts from 1.
    pub fn new(number: u8) -> Result<Self, ChannelError> {
        if number == 0 { Err(ChannelError) } else { Ok(Self(number)) }
    }

    /// The number, from 1.
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Channel {
    type Err = ChannelError;
    fn from_str(text: &str) -> Result<Self, ChannelError> {
        text.parse().map_err(|_| ChannelError).and_then(Self::new)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u8::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sim_compares_equal_over_its_6_and_10_byte_forms() {
        let six = Sim::from_bcd(&[0x01, 0x39, 0x12, 0x34, 0x56, 0x78]);
        let ten = Sim::from_bcd(&[0, 0, 0, 0, 0x01, 0x39, 0x12, 0x34, 0x56, 0x78]);
        assert_eq!(six, ten);
        assert_eq!(six.as_str(), "13912345678");
        assert_eq!(six.to_bcd::<6>(), Some([0x01, 0x39, 0x12, 0x34, 0x56, 0x78]));
        assert_eq!("013912345678".parse(), Ok(six));
        assert_eq!(Sim::from_bcd(&[0; 6]).as_str(), "0");
        assert_eq!(Sim::from_bcd(&[0xff; 6]).as_str(), "FFFFFFFFFFFF");
        assert_eq!("12345678901234".parse::<Sim>().map(|s| s.to_bcd::<6>()), Ok(None));
        assert_eq!("".parse::<Sim>(), Err(SimError));
    }

    #[test]
    fn channels_count_from_one() {
        assert_eq!(Channel::new(0), Err(ChannelError));
        assert_eq!("32".parse::<Channel>().map(Channel::number), Ok(32));
        assert!(serde_json::from_str::<Channel>("0").is_err());
    }
}
