//! Play tickets: short-lived signed permissions to open one stream.
//!
//! A ticket proves that its account was allowed to view its stream when it was made. It is checked without
//! the database; a running view is re-checked by [`Access::may_view`](crate::Access::may_view).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use model::{AccountId, StreamKey};
use sha2::Sha256;

use crate::key::NumberedSecret;

/// A permission to open one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayTicket {
    /// Who may.
    pub account: AccountId,
    /// What.
    pub stream: StreamKey,
    /// Until when it may be opened (a view that runs by then goes on).
    pub expires: DateTime<Utc>,
}

/// Why a text is no ticket for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It is not a ticket of this platform: malformed, of an unknown key, or its signature is wrong.
    #[error("not a ticket of this platform")]
    Invalid,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// It is good, but for another stream.
    #[error("the ticket is for another stream")]
    OtherStream,
}

impl PlayTicket {
    /// How long a ticket may be opened, seconds: long enough for a player to start, too short to pass around.
    pub const LIFETIME_S: i64 = 60;

    /// The longest text that can be a ticket, bytes; longer ones are not looked at.
    const BYTES_MAX: usize = 256;

    pub(crate) fn new(account: AccountId, stream: StreamKey, now: DateTime<Utc>) -> Self {
        Self { account, stream, expires: now + TimeDelta::seconds(Self::LIFETIME_S) }
    }

    /// `KEY.ACCOUNT.STREAM.EXPIRES.SIGNATURE`, of characters that need no escaping in a URL.
    pub(crate) fn sign(&self, key: &NumberedSecret) -> String {
        let claims = format!("{}.{}.{}.{}", key.id, self.account, self.stream, self.expires.timestamp());
        let signature = URL_SAFE_NO_PAD.encode(mac(key, &claims).finalize().into_bytes());
        format!("{claims}.{signature}")
    }

    pub(crate) fn verify(
        text: &str,
        keys: &[NumberedSecret],
        stream: &StreamKey,
        now: DateTime<Utc>,
    ) -> Result<Self, TicketError> {
        let ticket = Self::parse(text, keys).ok_or(TicketError::Invalid)?;
        if ticket.expires <= now {
            return Err(TicketError::Expired);
        }
        if ticket.stream != *stream {
            return Err(TicketError::OtherStream);
        }
        Ok(ticket)
    }

    fn parse(text: &str, keys: &[NumberedSecret]) -> Option<Self> {
        if text.len() > Self::BYTES_MAX {
            return None;
        }
        let (claims, signature) = text.rsplit_once('.')?;
        let mut parts = claims.split('.');
        let id: u32 = parts.next()?.parse().ok()?;
        let key = keys.iter().find(|key| key.id == id)?;
        mac(key, claims).verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let account = parts.next()?.parse().ok()?;
        let stream = parts.next()?.parse().ok()?;
        let expires = DateTime::from_timestamp(parts.next()?.parse().ok()?, 0)?;
        parts.next().is_none().then_some(Self { account, stream, expires })
    }
}

fn mac(key: &NumberedSecret, claims: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.secret.bytes()).expect("HMAC takes any key length");
    // What is signed says what it is, so that no other use of the key can yield a ticket.
    mac.update(b"play ticket\0");
    mac.update(claims.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keys;

    fn stream(text: &str) -> StreamKey {
        text.parse().expect("a stream")
    }

    #[test]
    fn a_ticket_is_good_for_its_stream_and_its_time_only() {
        let keys = Keys::generate().tickets().to_vec();
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let ticket = PlayTicket::new(AccountId(7), stream("live-42-1-main"), now);
        let text = ticket.sign(&keys[0]);
        assert_eq!(PlayTicket::verify(&text, &keys, &ticket.stream, now), Ok(ticket.clone()));
        assert_eq!(
            PlayTicket::verify(&text, &keys, &stream("live-42-2-main"), now),
            Err(TicketError::OtherStream)
        );
        let late = now + TimeDelta::seconds(PlayTicket::LIFETIME_S);
        assert_eq!(PlayTicket::verify(&text, &keys, &ticket.stream, late), Err(TicketError::Expired));
    }

    #[test]
    fn a_changed_ticket_is_invalid() {
        let keys = Keys::generate().tickets().to_vec();
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let ticket = PlayTicket::new(AccountId(7), stream("live-42-1-main"), now);
        let text = ticket.sign(&keys[0]);
        let other = NumberedSecret { id: 1, ..Keys::generate().signing().clone() };
        for wrong in [
            String::new(),
            "....".to_owned(),
            text.replace(".7.", ".8."),
            text.replacen("1.", "2.", 1),
            format!("{text}A"),
            text[..text.len() - 4].to_owned(),
            ticket.sign(&other),
            "1.".repeat(1000),
        ] {
            assert_eq!(
                PlayTicket::verify(&wrong, &keys, &ticket.stream, now),
                Err(TicketError::Invalid),
                "{wrong}"
            );
        }
    }

    #[test]
    fn tickets_of_an_older_key_are_good_while_the_key_is_kept() {
        let old = Keys::generate().signing().clone();
        let new = NumberedSecret { id: 2, ..Keys::generate().signing().clone() };
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let ticket = PlayTicket::new(AccountId(7), stream("live-42-1-main"), now);
        let text = ticket.sign(&old);
        assert!(PlayTicket::verify(&text, &[new.clone(), old], &ticket.stream, now).is_ok());
        assert_eq!(PlayTicket::verify(&text, &[new], &ticket.stream, now), Err(TicketError::Invalid));
    }
}
