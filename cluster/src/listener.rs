//! A listening address, and the address that others must dial to reach it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a role listens and what it tells others to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address to bind; port 0 picks a free one.
    pub listen: SocketAddr,
    /// What the other side must dial; None: the local address of the socket it asks on.
    pub advertise: Option<Advertise>,
}

impl Listener {
    /// All addresses, this port, nothing advertised.
    pub fn on_port(port: u16) -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], port)), advertise: None }
    }
}

/// An address as the other side must dial it, `host:port`. Without a host (`*:port`): whatever host the other side
/// used already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// A name or an address (IPv6 without brackets).
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

impl Advertise {
    /// `host:port` with `fallback` where no host is set; IPv6 in brackets.
    pub fn authority(&self, fallback: &str) -> String {
        let host = self.host.as_deref().unwrap_or(fallback);
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            format!("[{host}]:{}", self.port)
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

/// Why a text is no address to advertise.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not host:port")]
pub struct ListenerError(String);

impl FromStr for Advertise {
    type Err = ListenerError;
    fn from_str(text: &str) -> Result<Self, ListenerError> {
        let wrong = || ListenerError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port: u16 = port.parse().map_err(|_| wrong())?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if port == 0
            || host.is_empty()
            || host.len() > 253
            || host.contains(['/', ' ', '@', '?', '#', '[', ']'])
        {
            return Err(wrong());
        }
        let host = (host != "*").then(|| host.to_owned());
        Ok(Self { host, port })
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority("*"))
    }
}

/// Without a host as `*:port`, which reads back as the same.
impl Serialize for Advertise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Advertise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_is_a_host_and_a_port() {
        assert_eq!("v.example:6604".parse::<Advertise>().expect("parses").authority("x"), "v.example:6604");
        assert_eq!(
            "[2001:db8::1]:80".parse::<Advertise>().expect("parses").authority("x"),
            "[2001:db8::1]:80"
        );
        assert_eq!(Advertise { host: None, port: 1 }.authority("::1"), "[::1]:1");
        assert_eq!("*:1".parse(), Ok(Advertise { host: None, port: 1 }));
        for wrong in ["", "host", "host:0", "host:x", ":80", "a/b:80", "host:70000"] {
            assert!(wrong.parse::<Advertise>().is_err(), "{wrong}");
        }
    }
}
