//! Annex B, NAL units between start codes, and the other form, each behind its length.

use crate::reader::Reader;

/// The start code that this crate writes.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The NAL units of `bytes`, without start codes, without a copy. Start codes may have three or four bytes;
/// zeros behind a unit are padding and are left out, as are empty units and what precedes the first code.
pub fn nal_units(bytes: &[u8]) -> NalUnits<'_> {
    NalUnits { rest: after_start_code(bytes).1 }
}

/// Iterator of [`nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while let Some(bytes) = self.rest {
            let (before, after) = after_start_code(bytes);
            self.rest = after;
            let unit = trim_zeros(before);
            if !unit.is_empty() {
                return Some(unit);
            }
        }
        None
    }
}

/// What stands before the first `00 00 01` of `bytes`, and what follows it, if there is one.
fn after_start_code(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == 1)) {
        let one = from + found;
        if let Some((before, [0, 0])) = bytes.get(..one).and_then(|head| head.split_last_chunk()) {
            return (before, bytes.get(one + 1..));
        }
        from = one + 1;
    }
    (bytes, None)
}

fn trim_zeros(mut unit: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = unit {
        unit = rest;
    }
    unit
}

/// Appends one NAL unit behind a four-byte start code.
pub fn append_annexb(unit: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START_CODE);
    out.extend_from_slice(unit);
}

/// Appends `units`, each behind its length in four bytes. A unit above 4 GiB is left out.
pub fn length_prefixed<'a>(units: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for unit in units {
        if let Ok(length) = u32::try_from(unit.len()) {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(unit);
        }
    }
}

/// Appends the units of `bytes`, each behind its length in four bytes, as Annex B; stops at a unit that
/// ends early.
pub fn from_length_prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    let mut reader = Reader::new(bytes);
    while let Ok(length) = reader.u32()
        && let Ok(unit) = reader.bytes(length as usize)
    {
        append_annexb(unit, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn units(bytes: &[u8]) -> Vec<Vec<u8>> {
        nal_units(bytes).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes_and_padding() {
        let bytes = [9, 9, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 1, 0, 0, 1, 0x65, 0, 3, 0, 0];
        assert_eq!(units(&bytes), [vec![0x67, 1], vec![0x68, 2], vec![0x65, 0, 3]]);
        assert_eq!(units(&[]), Vec::<Vec<u8>>::new());
        assert_eq!(units(&[0, 0, 1]), Vec::<Vec<u8>>::new());
        assert_eq!(units(&[0x65, 1, 2]), Vec::<Vec<u8>>::new(), "nothing before a start code is a unit");
        assert_eq!(units(&[0, 0, 1, 1, 0, 1, 1]), [vec![1, 0, 1, 1]]);
    }

    proptest! {
        #[test]
        fn annexb_and_length_prefix_hold_the_same_units(
            wanted in prop::collection::vec(prop::collection::vec(2_u8.., 1..40), 0..8),
        ) {
            let mut annexb = Vec::new();
            wanted.iter().for_each(|unit| append_annexb(unit, &mut annexb));
            prop_assert_eq!(&units(&annexb), &wanted);
            let (mut prefixed, mut back) = (Vec::new(), Vec::new());
            length_prefixed(nal_units(&annexb), &mut prefixed);
            from_length_prefixed(&prefixed, &mut back);
            prop_assert_eq!(back, annexb);
        }

        #[test]
        fn any_bytes_give_units_that_hold_no_start_code(bytes in prop::collection::vec(0_u8..3, 0..200)) {
            for unit in nal_units(&bytes) {
                prop_assert!(!unit.windows(3).any(|window| window == [0, 0, 1]));
                prop_assert!(!unit.is_empty() && unit.last() != Some(&0));
            }
        }
    }
}
