//! 0x8004: the server's time (2019), the answer to 0x0004.

use crate::jt808::{BcdTime, Edition};
use crate::reader::{Reader, Truncated};

/// 0x8004: the server's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerTime<'a> {
    /// The time, in UTC, unlike every other time of the standard.
    pub time_utc: BcdTime,
    /// What the sender added.
    pub rest: &'a [u8],
}

impl<'a> ServerTime<'a> {
    /// Reads the body: six bytes.
    pub fn decode(body: &'a [u8], _edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        Ok(Self { time_utc: BcdTime(reader.array()?), rest: reader.rest() })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, _edition: Edition) {
        out.extend_from_slice(&self.time_utc.0);
        out.extend_from_slice(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn comes_back(time: [u8; 6], rest: Vec<u8>) {
            let message = ServerTime { time_utc: BcdTime(time), rest: &rest };
            let mut body = Vec::new();
            message.encode(&mut body, Edition::V2019);
            prop_assert_eq!(ServerTime::decode(&body, Edition::V2019), Ok(message));
        }
    }
}
