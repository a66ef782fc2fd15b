//! G.711: one byte, one 8 kHz sample.

/// The sample of an A-law byte.
pub fn decode_alaw(_byte: u8) -> i16 {
    todo!()
}

/// The sample of a µ-law byte.
pub fn decode_ulaw(_byte: u8) -> i16 {
    todo!()
}

/// The A-law byte nearest to a sample.
pub fn encode_alaw(_sample: i16) -> u8 {
    todo!()
}

/// The µ-law byte nearest to a sample.
pub fn encode_ulaw(_sample: i16) -> u8 {
    todo!()
}
