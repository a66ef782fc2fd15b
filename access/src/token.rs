//! Tokens: signed access tokens of v1, and opaque ones (refresh tokens, values of opaque logins) of which only the
//! digest is stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
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

/// The key of a login in a refresh token, bytes.
const LOGIN_BYTES: usize = 16;
/// What makes a refresh token one of many, bytes.
const REFRESH_RANDOM_BYTES: usize = 32;
/// A refresh token with its signature (HMAC-SHA256), bytes.
const REFRESH_BYTES: usize = LOGIN_BYTES + REFRESH_RANDOM_BYTES + 32;
/// The longest text that can be a refresh token, bytes; longer ones are not looked at. Ours have 107.
const REFRESH_TEXT_BYTES_MAX: usize = 256;

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
    /// A refresh token of `login`: its key and 32 random bytes, signed, in base64url. Since it names its login,
    /// any used token of a login is known as one, however long ago it was used.
    pub(crate) fn refresh(secret: &Secret, login: Uuid) -> Self {
        let mut bytes = Vec::with_capacity(REFRESH_BYTES);
        bytes.extend_from_slice(login.as_bytes());
        bytes.extend_from_slice(&random::<REFRESH_RANDOM_BYTES>());
        let signature = refresh_mac(secret, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature);
        Self::of(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The value of an opaque login: 32 hexadecimal digits, the form that CMSV6 clients know.
    pub(crate) fn login() -> Self {
        Self::of(hex::encode(random::<16>()))
    }

    fn of(text: String) -> Self {
        Self { digest: digest(&text), text }
    }
}

/// The login that a refresh token of ours is of; None for any other text.
pub(crate) fn login_of(secret: &Secret, refresh_token: &str) -> Option<Uuid> {
    if refresh_token.len() > REFRESH_TEXT_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(refresh_token).ok().filter(|bytes| bytes.len() == REFRESH_BYTES)?;
    let (signed, signature) = bytes.split_at(LOGIN_BYTES + REFRESH_RANDOM_BYTES);
    refresh_mac(secret, signed).verify_slice(signature).ok()?;
    Uuid::from_slice(&signed[..LOGIN_BYTES]).ok()
}

fn refresh_mac(secret: &Secret, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes any key length");
    // What is signed says what it is: a JWT is signed with the same key, and begins otherwise.
    mac.update(b"refresh token\0");
    mac.update(signed);
    mac
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
    fn an_opaque_login_has_32_hexadecimal_digits() {
        let login = Opaque::login();
        assert_eq!(login.text.len(), 32);
        assert!(login.text.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(login.digest, digest(&login.text));
    }

    #[test]
    fn a_refresh_token_names_its_login_and_cannot_be_made_up() {
        let (secret, login) = (Secret::generate(), Uuid::new_v4());
        let token = Opaque::refresh(&secret, login);
        assert_eq!(login_of(&secret, &token.text), Some(login));
        assert_eq!(token.digest, digest(&token.text));
        assert_ne!(Opaque::refresh(&secret, login).text, token.text);
        assert_eq!(login_of(&Secret::generate(), &token.text), None);
        let mut bytes = URL_SAFE_NO_PAD.decode(&token.text).expect("base64url");
        for at in [0, LOGIN_BYTES, REFRESH_BYTES - 1] {
            bytes[at] ^= 1;
            assert_eq!(login_of(&secret, &URL_SAFE_NO_PAD.encode(&bytes)), None, "byte {at}");
            bytes[at] ^= 1;
        }
        let access = sign_access(&secret, AccountId(7), login, Utc::now());
        for wrong in ["", "x", &token.text[1..], access.as_str(), &"A".repeat(10_000)] {
            assert_eq!(login_of(&secret, wrong), None, "{wrong}");
        }
    }
}
