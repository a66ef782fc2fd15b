//! 0x0001 and 0x8001: the general replies.

use crate::jt808::Edition;
use crate::reader::{Reader, Truncated};

/// The result byte of a general reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyResult(pub u8);

impl ReplyResult {
    /// Done, or confirmed.
    pub const OK: Self = Self(0);
    /// Failed.
    pub const FAILED: Self = Self(1);
    /// The message was wrong.
    pub const WRONG: Self = Self(2);
    /// The message is not supported.
    pub const UNSUPPORTED: Self = Self(3);
    /// 0x8001 only: the alarm of the answered report was handled.
    pub const ALARM_HANDLED: Self = Self(4);
}

/// 0x0001 (terminal) or 0x8001 (platform): how a message fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralReply<'a> {
    /// Serial number of the message that is answered.
    pub serial: u16,
    /// Its id.
    pub id: u16,
    /// How it fared.
    pub result: ReplyResult,
    /// What the sender added.
    pub rest: &'a [u8],
}

impl<'a> GeneralReply<'a> {
    /// The reply to the message of `serial` and `id`.
    pub fn new(serial: u16, id: u16, result: ReplyResult) -> Self {
        Self { serial, id, result, rest: &[] }
    }

    /// Reads the body: five bytes.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        Ok(Self {
            serial: reader.u16()?,
            id: reader.u16()?,
            result: ReplyResult(reader.u8()?),
            rest: reader.rest(),
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        out.extend_from_slice(&self.serial.to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        out.push(self.result.0);
        out.extend_from_slice(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_reply_as_test_tools_send_it_is_an_error() {
        assert!(GeneralReply::decode(&[], Edition::V2013).is_err());
    }

    proptest! {
        #[test]
        fn comes_back(serial: u16, id: u16, result: u8, rest: Vec<u8>) {
            let reply = GeneralReply { rest: &rest, ..GeneralReply::new(serial, id, ReplyResult(result)) };
            let mut body = Vec::new();
            reply.encode(&mut body, Edition::V2013);
            prop_assert_eq!(GeneralReply::decode(&body, Edition::V2013), Ok(reply));
        }
    }
}
