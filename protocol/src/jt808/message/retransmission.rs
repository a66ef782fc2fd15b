//! 0x8003 and 0x0005: the missing packages of a split message are asked for again.

use crate::jt808::Edition;
use crate::reader::{Reader, Truncated};

/// 0x8003 (platform) or 0x0005 (terminal, 2019): which packages are missing.
///
/// The count is a BYTE in 2011/2013 and a WORD in 2019. The body's length is odd with the one and even with the
/// other, which decides the layout whatever the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retransmission<'a> {
    /// The edition whose layout the body has: 2013 or 2019.
    pub layout: Edition,
    /// Serial number of the message's first package.
    pub first_serial: u16,
    /// Indexes of the missing packages, from 1; as many as the body holds, whatever it counts.
    pub indexes: Vec<u16>,
    /// What the sender added, at most one byte.
    pub rest: &'a [u8],
}

impl<'a> Retransmission<'a> {
    /// Most packages that one message of 2011/2013 can ask for.
    pub const INDEXES_MAX_2013: usize = u8::MAX as usize;

    /// A request for `indexes` of the message whose first package has `first_serial`.
    pub fn new(first_serial: u16, indexes: Vec<u16>) -> Self {
        Self { layout: Edition::V2013, first_serial, indexes, rest: &[] }
    }

    /// Reads the body.
    pub fn decode(body: &'a [u8], edition: Edition) -> Result<Self, Truncated> {
        let mut reader = Reader::new(body);
        let first_serial = reader.u16()?;
        let layout = match (body.len().is_multiple_of(2), edition) {
            (true, _) => Edition::V2019,
            (false, _) => Edition::V2013,
        };
        match layout {
            Edition::V2019 => drop(reader.u16()?),
            Edition::V2011 | Edition::V2013 => drop(reader.u8()?),
        }
        let mut indexes = Vec::with_capacity(reader.left() / 2);
        while let Ok(index) = reader.u16() {
            indexes.push(index);
        }
        Ok(Self { layout, first_serial, indexes, rest: reader.rest() })
    }

    /// Appends the body in the layout of `edition`; more indexes than its count can say are left out.
    pub fn encode(&self, out: &mut Vec<u8>, edition: Edition) {
        out.extend_from_slice(&self.first_serial.to_be_bytes());
        let indexes_max = match edition {
            Edition::V2019 => usize::from(u16::MAX),
            Edition::V2011 | Edition::V2013 => Self::INDEXES_MAX_2013,
        };
        let indexes = self.indexes.get(..indexes_max).unwrap_or(&self.indexes);
        match edition {
            Edition::V2019 => out.extend_from_slice(&(indexes.len() as u16).to_be_bytes()),
            Edition::V2011 | Edition::V2013 => out.push(indexes.len() as u8),
        }
        indexes.iter().for_each(|index| out.extend_from_slice(&index.to_be_bytes()));
        out.extend_from_slice(self.rest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_count_of_one_byte_under_the_2019_header_and_of_two_under_the_old() {
        let old = Retransmission::decode(&[0x04, 0xd2, 2, 1, 2, 2, 3], Edition::V2019).unwrap();
        assert_eq!((old.layout, old.indexes), (Edition::V2013, vec![0x0102, 0x0203]));
        let new = Retransmission::decode(&[0, 0x6f, 0, 3, 0, 2, 0, 3, 0, 4], Edition::V2013).unwrap();
        assert_eq!((new.layout, new.first_serial, new.indexes), (Edition::V2019, 0x6f, vec![2, 3, 4]));
    }

    #[test]
    fn a_wrong_count_does_not_hide_indexes() {
        let message = Retransmission::decode(&[0, 1, 9, 0, 5], Edition::V2013).unwrap();
        assert_eq!(message.indexes, [5]);
    }

    proptest! {
        #[test]
        fn comes_back(serial: u16, indexes in proptest::collection::vec(any::<u16>(), 0..=255), new: bool) {
            let edition = if new { Edition::V2019 } else { Edition::V2013 };
            let message = Retransmission { layout: edition, ..Retransmission::new(serial, indexes) };
            let mut body = Vec::new();
            message.encode(&mut body, edition);
            prop_assert_eq!(Retransmission::decode(&body, Edition::V2013), Ok(message));
        }
    }
}
