//! IMA ADPCM as terminals send it (payload type 26): per packet a state of four bytes, then nibbles, high first.

/// Appends the 16-bit samples (8 kHz mono) of one packet's body, its HiSilicon header already taken off.
/// A body shorter than the state gives none.
pub fn decode(_body: &[u8], _samples: &mut Vec<i16>) {
    todo!()
}
