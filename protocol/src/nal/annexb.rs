//! Annex B: NAL units between start codes.

/// The NAL units of `bytes`, without start codes, without a copy.
pub fn nal_units(bytes: &[u8]) -> NalUnits<'_> {
    NalUnits { rest: bytes }
}

/// Iterator of [`nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let _ = self.rest;
        todo!()
    }
}

/// Appends an Annex B access unit with each NAL unit behind its length in four bytes.
pub fn length_prefixed(_access_unit: &[u8], _out: &mut Vec<u8>) {
    todo!()
}
