//! The servers that a terminal dials by itself: its main server and its backup, as it is told and as it tells.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The name or IPv4 address of a server, as a terminal can be told it: 1 to 63 letters, digits and `-` between dots, 253
/// characters in all. An IPv6 address is none: the colon stands before the port there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9.-]+$", example = "login.example")]
pub struct ServerHost(String);

/// Why a text is no [`ServerHost`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a host is a name or an IPv4 address: letters, digits and - between dots, at most 253 characters")]
pub struct ServerHostError;

/// Longest name, characters (RFC 1035).
const HOST_CHARS_MAX: usize = 253;
/// Longest part between two dots, characters.
const LABEL_CHARS_MAX: usize = 63;

impl ServerHost {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerHost {
    type Err = ServerHostError;

    fn from_str(text: &str) -> Result<Self, ServerHostError> {
        let is_label = |label: &str| {
            (1..=LABEL_CHARS_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let is_host = text.len() <= HOST_CHARS_MAX && text.split('.').all(is_label);
        if is_host { Ok(Self(text.to_owned())) } else { Err(ServerHostError) }
    }
}

impl<'de> Deserialize<'de> for ServerHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A server that a terminal is told to dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerAddress {
    /// A name or an IPv4 address.
    pub host: ServerHost,
    /// TCP port.
    #[schema(value_type = u16, minimum = 1)]
    pub port: NonZeroU16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.as_str(), self.port)
    }
}

/// The servers that a terminal is to dial from its next connection on; None leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServersChange {
    /// The main server; where there are several, in the order in which they are dialled. Never empty.
    pub main: Option<Vec<ServerAddress>>,
    /// The backup; an empty list: none.
    pub backup: Option<Vec<ServerAddress>>,
}

/// Why servers cannot be set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ServersError {
    /// Nothing is given.
    #[error("name main or backup servers")]
    Nothing,
    /// Without a main server nobody could reach the terminal any more.
    #[error("a terminal needs a main server")]
    NoMain,
    /// More than a terminal takes.
    #[error("at most {max} servers, together at most {bytes} characters", max = ServersChange::EACH_MAX, bytes = ServersChange::TEXT_BYTES_MAX)]
    TooMany,
}

impl ServersChange {
    /// Most servers of a kind.
    pub const EACH_MAX: usize = 4;
    /// Longest text of those of a kind, as `host:port;host:port`, bytes: what a parameter of JT/T 808 holds.
    pub const TEXT_BYTES_MAX: usize = 255;

    /// Main and backup servers, one of which may be left as it is.
    ///
    /// # Errors
    /// [`ServersError`], with the field at fault where it is one of the two.
    pub fn new(
        main: Option<Vec<ServerAddress>>,
        backup: Option<Vec<ServerAddress>>,
    ) -> Result<Self, (Option<&'static str>, ServersError)> {
        if main.is_none() && backup.is_none() {
            return Err((None, ServersError::Nothing));
        }
        if main.as_ref().is_some_and(Vec::is_empty) {
            return Err((Some("main"), ServersError::NoMain));
        }
        for (field, servers) in [("main", &main), ("backup", &backup)] {
            let servers = servers.as_deref().unwrap_or_default();
            if servers.len() > Self::EACH_MAX || Self::text(servers).len() > Self::TEXT_BYTES_MAX {
                return Err((Some(field), ServersError::TooMany));
            }
        }
        Ok(Self { main, backup })
    }

    /// Those of a kind, as JT/T 808-2019 writes them.
    pub fn text(servers: &[ServerAddress]) -> String {
        servers.iter().map(ServerAddress::to_string).collect::<Vec<_>>().join(";")
    }
}

/// The servers that a terminal says it dials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TerminalServers {
    /// Its main server, or several; empty where it tells none.
    pub main: Vec<ToldServer>,
    /// Its backup; empty where it has or tells none.
    pub backup: Vec<ToldServer>,
}

/// A server as a terminal tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToldServer {
    /// What the terminal has as its host, as it says it.
    pub host: String,
    /// TCP port; null where it tells none.
    pub port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> ServerAddress {
        let (host, port) = text.split_once(':').expect("host:port");
        ServerAddress { host: host.parse().expect("a host"), port: port.parse().expect("a port") }
    }

    #[test]
    fn a_host_is_a_name_or_an_ipv4_address() {
        for text in ["a", "10.0.0.1", "login-1.example", &"a".repeat(63), "1a.b"] {
            assert_eq!(text.parse::<ServerHost>().map(|host| host.as_str().to_owned()).as_deref(), Ok(text));
        }
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
        for text in
            ["", ".", "a.", ".a", "-a", "a-", "a b", "a;b", "a:1", "::1", "é", "a/b", &"a".repeat(64), &long]
        {
            assert_eq!(text.parse::<ServerHost>(), Err(ServerHostError), "{text}");
        }
    }

    #[test]
    fn what_no_terminal_could_do_with_is_refused() {
        let one = || Some(vec![server("a:1")]);
        assert_eq!(ServersChange::new(None, None), Err((None, ServersError::Nothing)));
        assert_eq!(ServersChange::new(Some(vec![]), one()), Err((Some("main"), ServersError::NoMain)));
        let five = || Some(vec![server("a:1"); 5]);
        assert_eq!(ServersChange::new(five(), None), Err((Some("main"), ServersError::TooMany)));
        assert_eq!(ServersChange::new(one(), five()), Err((Some("backup"), ServersError::TooMany)));
        let name = |length: usize| vec!["a".repeat(63); length / 64].join(".");
        let long = vec![server(&format!("{}:60000", name(192))), server(&format!("{}:1", name(64)))];
        assert!(ServersChange::text(&long).len() > 255);
        assert_eq!(ServersChange::new(Some(long), None), Err((Some("main"), ServersError::TooMany)));
        assert!(ServersChange::new(one(), Some(vec![])).is_ok(), "no backup any more");
    }
}
