//! The platform's secrets: what signs log-in tokens and play tickets.
//!
//! Knows no file: whoever starts the platform stores these as it likes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A secret of at least 32 random bytes; base64url in files, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// The least length, bytes: that of the HMAC-SHA256 output.
    pub const BYTES_MIN: usize = 32;

    /// 32 bytes from the operating system.
    ///
    /// # Panics
    /// When the operating system gives no randomness: nothing could be secret then.
    pub fn generate() -> Self {
        let mut bytes = [0u8; Self::BYTES_MIN];
        OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
        Self(Box::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| D::Error::custom("a secret is base64url"))?;
        if bytes.len() < Self::BYTES_MIN {
            return Err(D::Error::custom(format!("a secret has at least {} bytes", Self::BYTES_MIN)));
        }
        Ok(Self(bytes.into_boxed_slice()))
    }
}

/// A secret with the number by which what it signed names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberedSecret {
    /// Its number, unique among its kind.
    pub id: u32,
    /// The secret itself.
    pub secret: Secret,
}

/// Every secret that [`Access`](crate::Access) needs. The same on all nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Signs the access tokens of v1 (HMAC-SHA256).
    pub(crate) jwt: Secret,
    /// Sign play tickets: the first signs, all of them verify, so that a key can be changed while tickets
    /// of the old one are about. Never empty.
    #[serde(deserialize_with = "at_least_one")]
    tickets: Vec<NumberedSecret>,
}

impl Keys {
    /// New random keys.
    pub fn generate() -> Self {
        Self { jwt: Secret::generate(), tickets: vec![NumberedSecret { id: 1, secret: Secret::generate() }] }
    }

    pub(crate) fn signing(&self) -> &NumberedSecret {
        &self.tickets[0]
    }

    pub(crate) fn tickets(&self) -> &[NumberedSecret] {
        &self.tickets
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NumberedSecret>, D::Error> {
    let secrets = Vec::deserialize(deserializer)?;
    if secrets.is_empty() { Err(D::Error::custom("at least one ticket key is needed")) } else { Ok(secrets) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_are_never_shown() {
        let keys = Keys::generate();
        let text = serde_json::to_string(&keys).expect("serialises");
        assert_eq!(serde_json::from_str::<Keys>(&text).expect("parses"), keys);
        assert!(!format!("{keys:?}").contains(&URL_SAFE_NO_PAD.encode(keys.jwt.bytes())));
        assert_ne!(Keys::generate(), keys);
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(serde_json::from_str::<Secret>(r#""c2hvcnQ""#).is_err());
        assert!(serde_json::from_str::<Secret>(r#""not base64!""#).is_err());
    }
}
