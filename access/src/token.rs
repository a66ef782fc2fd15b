//! Tokens: signed access tokens of v1, and opaque ones (refresh tokens, CMSV6 sessions) of which only the
//! digest is stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use model::AccountId;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Secret, Tokens};

/// The longest text that can be an access token, bytes; longer ones are not looked at.
const ACCESS_BYTES_MAX: usize = 1024;

/// What an access token says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The account, in decimal (RFC 7519 wants text).
    sub: String,
    /// The login that it was made for.
    pub(crate) login: Uuid,
    /// Until when it is valid, seconds since 1970.
    exp: i64,
}

impl Claims {
    pub(crate) fn account(&self) -> Option<AccountId> {
        self.sub.parse().ok()
    }
}

/// Signs an access token.
pub(crate) fn sign_access(secret: &Secret, account: AccountId, login: Uuid, now: DateTime<Utc>) -> String {
    let claims = Claims {
        sub: account.to_string(),
        login,
        exp: (now + TimeDelta::seconds(Tokens::LIFETIME_S)).timestamp(),
    };
    let key = EncodingKey::from_secret(secret.bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .expect("claims of text and numbers sign")
}

/// What an access token of ours says at `now`; None for anything else.
pub(crate) fn verify_access(secret: &Secret, text: &str, now: DateTime<Utc>) -> Option<Claims> {
    if text.len() > ACCESS_BYTES_MAX {
        return None;
    }
    let mut validation = Validation::new(Algorithm::HS256);
    // Compared below against the caller's clock.
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(secret.bytes());
    let claims = jsonwebtoken::decode::<Claims>(text, &key, &validation).ok()?.claims;
    (now.timestamp() < claims.exp).then_some(claims)
}

/// An opaque token that cannot be guessed, and its digest.
pub(crate) struct Opaque {
    /// What the person gets.
    pub(crate) text: String,
    /// What is stored.
    pub(crate) digest: [u8; 32],
}

impl Opaque {
    /// A refresh token: 32 random bytes in base64url.
    pub(crate) fn refresh() -> Self {
        Self::of(URL_SAFE_NO_PAD.encode(random::<32>()))
    }

    /// A CMSV6 session: 32 hexadecimal digits, the form that its clients know.
    pub(crate) fn session() -> Self {
        Self::of(hex::encode(random::<16>()))
    }

    fn of(text: String) -> Self {
        Self { digest: digest(&text), text }
    }
}

/// The digest by which an opaque token is stored. It needs no slow hash: its text is random.
pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_is_good_for_its_time_and_key_only() {
        let (secret, now, login) = (Secret::generate(), Utc::now(), Uuid::new_v4());
        let text = sign_access(&secret, AccountId(7), login, now);
        let claims = verify_access(&secret, &text, now).expect("ours");
        assert_eq!((claims.account(), claims.login), (Some(AccountId(7)), login));
        let late = now + TimeDelta::seconds(Tokens::LIFETIME_S + 1);
        assert_eq!(verify_access(&secret, &text, late), None);
        assert_eq!(verify_access(&Secret::generate(), &text, now), None);
        assert_eq!(verify_access(&secret, "", now), None);
        assert_eq!(verify_access(&secret, &"a".repeat(10_000), now), None);
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        // {"alg":"none"} and an empty signature: the oldest trick.
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD
            .encode(r#"{"sub":"1","login":"00000000-0000-0000-0000-000000000000","exp":9999999999}"#);
        assert_eq!(verify_access(&Secret::generate(), &format!("{header}.{claims}."), Utc::now()), None);
    }

    #[test]
    fn a_session_has_32_hexadecimal_digits() {
        let session = Opaque::session();
        assert_eq!(session.text.len(), 32);
        assert!(session.text.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(session.digest, digest(&session.text));
        assert_ne!(Opaque::refresh().text, Opaque::refresh().text);
    }
}
