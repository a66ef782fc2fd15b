//! The name of a stream.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Channel, TerminalId};

/// Main or sub stream of a channel (JT/T 1078-2016, 0x9101: 0 main, 1 sub).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The main stream: best picture.
    #[default]
    Main,
    /// The sub stream: fewer bytes.
    Sub,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamClass {
    /// Live sound and pictures.
    Live,
}

/// One stream of one terminal. In text: `live-42-1-main`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// What for.
    pub class: StreamClass,
    /// Whose.
    pub terminal: TerminalId,
    /// Which channel.
    pub channel: Channel,
    /// Main or sub.
    pub profile: Profile,
}

/// Why a text is no stream key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a stream is named live-TERMINAL-CHANNEL-main or live-TERMINAL-CHANNEL-sub")]
pub struct StreamKeyError;

impl StreamKey {
    /// The live stream of a channel.
    pub fn live(terminal: TerminalId, channel: Channel, profile: Profile) -> Self {
        Self { class: StreamClass::Live, terminal, channel, profile }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamClass::Live = self.class;
        write!(f, "live-{}-{}-{}", self.terminal, self.channel, self.profile.name())
    }
}

impl FromStr for StreamKey {
    type Err = StreamKeyError;
    fn from_str(text: &str) -> Result<Self, StreamKeyError> {
        let mut parts = text.split('-');
        let (Some("live"), Some(terminal), Some(channel), Some(profile), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(StreamKeyError);
        };
        Ok(Self::live(
            terminal.parse().map_err(|_| StreamKeyError)?,
            channel.parse().map_err(|_| StreamKeyError)?,
            match profile {
                "main" => Profile::Main,
                "sub" => Profile::Sub,
                _ => return Err(StreamKeyError),
            },
        ))
    }
}

impl Serialize for StreamKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for StreamKey {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A stream's name: live-TERMINAL-CHANNEL-PROFILE"))
            .examples(["live-42-1-main"])
            .build()
            .into()
    }
}

impl ToSchema for StreamKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_key_reads_back_what_it_writes() {
        let key = StreamKey::live(TerminalId(42), Channel::new(3).expect("not 0"), Profile::Sub);
        assert_eq!(key.to_string(), "live-42-3-sub");
        assert_eq!("live-42-3-sub".parse(), Ok(key));
        for wrong in [
            "",
            "live-42-3",
            "live-42-0-sub",
            "live-42-3-sub-x",
            "talk-42-3-sub",
            "live-x-3-sub",
            "live--3-sub",
        ] {
            assert_eq!(wrong.parse::<StreamKey>(), Err(StreamKeyError), "{wrong}");
        }
    }
}
