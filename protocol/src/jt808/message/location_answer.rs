//! 0x0201: the location that 0x8201 asked for.

use crate::jt808::{Edition, LocationReport};
use crate::reader::{Reader, Truncated};

/// 0x0201, and 0x0500 which has the same body: a location as the answer to a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocationAnswer<'a> {
    /// Serial number of the command.
    pub serial: u16,
    /// The location.
    pub location: LocationReport<'a>,
}

impl<'a> LocationAnswer<'a> {
    /// Reads the body.
    pub fn decode(body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let serial = reader.u16()?;
        let location = LocationReport::decode(reader.rest(), edition)?;
        Ok(Self { serial, location })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        out.extend_from_slice(&self.serial.to_be_bytes());
        self.location.encode(out, edition);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_body_of_30_bytes_or_more_is_written_back(body in proptest::collection::vec(any::<u8>(), 30..200)) {
            let answer = LocationAnswer::decode(&body, Edition::V2013).unwrap();
            let mut again = Vec::new();
            answer.encode(&mut again, Edition::V2013);
            prop_assert_eq!(again, body);
        }
    }
}
