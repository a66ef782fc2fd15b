//! Authentication codes: what 0x8100 hands out and 0x0102 brings back.
//!
//! A code vouches for itself, so that a terminal is let in while the database is away: it names the key
//! that signed it, the terminal and its revocation count, and signs these together with the SIM.
//! Knows no terminal and no database; whether a count is still the current one is the caller's question.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use model::{Sim, TerminalId};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Most characters of a code. Terminals keep it in small buffers.
pub const CODE_CHARS_MAX: usize = 40;

/// Bytes of the signature: HMAC-SHA256 cut to 96 bits, guessed only over the link, a try a connection.
const MAC_BYTES: usize = 12;

/// Separates these signatures from any other use of the same secret.
const PURPOSE: &[u8] = b"motorcade 0x8100 code v1";

/// A secret that signs codes.
#[derive(Clone)]
pub struct AuthKey {
    /// Its name inside a code; never given to another secret.
    pub id: u8,
    /// At least 32 random bytes.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Signs and checks codes. The first key signs; every key checks, so that a key is replaced by putting a
/// new one first and dropping the old one when the terminals have registered again.
#[derive(Clone, Debug)]
pub struct AuthCodes {
    signing: AuthKey,
    older: Vec<AuthKey>,
}

/// What a genuine code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is.
    pub terminal: TerminalId,
    /// The terminal's revocation count when it was issued; a lower one than the current is void.
    pub revocations: u32,
}

/// Why a code is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It does not have the form of a code of ours.
    #[error("not a code of this platform")]
    Foreign,
    /// It has the form, but no key signed it for this SIM.
    #[error("forged, or of another SIM or an abandoned key")]
    Forged,
}

impl AuthCodes {
    /// Signs with `signing`; codes signed with any of `older` stay good.
    pub fn new(signing: AuthKey, older: Vec<AuthKey>) -> Self {
        Self { signing, older }
    }

    /// The code that lets `terminal` in under `sim`: at most [`CODE_CHARS_MAX`] letters, digits, `-` and `_`.
    pub fn issue(&self, sim: &Sim, grant: Grant) -> String {
        let mut code = vec![self.signing.id];
        push_varint(&mut code, grant.terminal.0.cast_unsigned());
        push_varint(&mut code, u64::from(grant.revocations));
        let mac = mac(&self.signing, sim, &code);
        code.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(code)
    }

    /// What `code` grants to `sim`. Takes the same time wherever a signature differs.
    pub fn check(&self, sim: &Sim, code: &str) -> Result<Grant, CodeError> {
        if code.len() > CODE_CHARS_MAX {
            return Err(CodeError::Foreign);
        }
        let bytes = URL_SAFE_NO_PAD.decode(code).map_err(|_| CodeError::Foreign)?;
        let (signed, mac_given) = bytes.split_last_chunk::<MAC_BYTES>().ok_or(CodeError::Foreign)?;
        let (key_id, mut rest) = signed.split_first().ok_or(CodeError::Foreign)?;
        let terminal = take_varint(&mut rest).ok_or(CodeError::Foreign)?;
        let revocations = take_varint(&mut rest).ok_or(CodeError::Foreign)?;
        if !rest.is_empty() {
            return Err(CodeError::Foreign);
        }
        let key = self.keys().find(|key| key.id == *key_id).ok_or(CodeError::Forged)?;
        if !bool::from(mac(key, sim, signed).ct_eq(mac_given)) {
            return Err(CodeError::Forged);
        }
        Ok(Grant {
            terminal: TerminalId(terminal.cast_signed()),
            revocations: u32::try_from(revocations).map_err(|_| CodeError::Foreign)?,
        })
    }

    fn keys(&self) -> impl Iterator<Item = &AuthKey> {
        std::iter::once(&self.signing).chain(&self.older)
    }
}

fn mac(key: &AuthKey, sim: &Sim, signed: &[u8]) -> [u8; MAC_BYTES] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key.secret).expect("HMAC takes a key of any length");
    hmac.update(PURPOSE);
    // Its length first, so that no other division of the same bytes has the same signature.
    hmac.update(&[u8::try_from(sim.as_str().len()).unwrap_or(u8::MAX)]);
    hmac.update(sim.as_str().as_bytes());
    hmac.update(signed);
    let whole: [u8; 32] = hmac.finalize().into_bytes().into();
    let mut cut = [0; MAC_BYTES];
    cut.copy_from_slice(&whole[..MAC_BYTES]);
    cut
}

/// LEB128, so that a code of a small fleet is short.
fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8) -> AuthKey {
        AuthKey { id, secret: [id; 32] }
    }

    fn sim(text: &str) -> Sim {
        text.parse().expect("a SIM")
    }

    #[test]
    fn a_code_is_good_for_its_sim_only() {
        let codes = AuthCodes::new(key(1), vec![]);
        let grant = Grant { terminal: TerminalId(42), revocations: 3 };
        let code = codes.issue(&sim("13912345678"), grant);
        assert_eq!(codes.check(&sim("013912345678"), &code), Ok(grant));
        assert_eq!(codes.check(&sim("13912345679"), &code), Err(CodeError::Forged));
        for at in 0..code.len() {
            let mut changed = code.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(codes.check(&sim("13912345678"), &changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn every_code_is_short() {
        let codes = AuthCodes::new(key(255), vec![]);
        let grant = Grant { terminal: TerminalId(i64::MAX), revocations: u32::MAX };
        let code = codes.issue(&sim("99999999999999999999"), grant);
        assert!(code.len() <= CODE_CHARS_MAX && code.is_ascii(), "{code}");
        assert_eq!(codes.check(&sim("99999999999999999999"), &code), Ok(grant));
    }

    #[test]
    fn a_key_is_replaced_without_locking_anybody_out() {
        let grant = Grant { terminal: TerminalId(7), revocations: 0 };
        let of_old = AuthCodes::new(key(1), vec![]).issue(&sim("1"), grant);
        let both = AuthCodes::new(key(2), vec![key(1)]);
        assert_eq!(both.check(&sim("1"), &of_old), Ok(grant));
        assert_ne!(both.issue(&sim("1"), grant), of_old);
        let new_only = AuthCodes::new(key(2), vec![]);
        assert_eq!(new_only.check(&sim("1"), &of_old), Err(CodeError::Forged));
    }

    #[test]
    fn what_is_no_code_is_foreign() {
        let codes = AuthCodes::new(key(1), vec![]);
        for text in ["", "authentication", "A", "\u{0}", "13912345678", &"A".repeat(41), &"_".repeat(40)] {
            assert_eq!(codes.check(&sim("1"), text), Err(CodeError::Foreign), "{text}");
        }
    }
}
