//! IMA ADPCM as terminals send it (payload type 26): per packet a state of four bytes, then nibbles, high first.
//!
//! FFmpeg's `adpcm_ima_wav` takes the low nibble first and is the wrong decoder for it.

use crate::reader::Reader;

/// IMA step sizes (89).
const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88,
    97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658,
    724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660,
    4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818,
    18500, 20350, 22385, 24623, 27086, 29794, 32767,
];

/// Highest index into the step sizes.
const INDEX_MAX: i32 = 88;

/// The decoder's state between two samples; every packet begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The last sample.
    pub predictor: i16,
    /// Index into the 89 step sizes.
    pub step_index: u8,
}

/// Appends the 16-bit samples (8 kHz mono) of one packet's body, its HiSilicon header already taken off, and
/// gives the state after the last of them. A body shorter than its state gives nothing.
pub fn decode(body: &[u8], samples: &mut Vec<i16>) -> Option<State> {
    let mut reader = Reader::new(body);
    // predictor, low byte first; step index; one reserved byte
    let [low, high, step_index, _] = reader.array().ok()?;
    let mut state =
        State { predictor: i16::from_le_bytes([low, high]), step_index: step_index.min(INDEX_MAX as u8) };
    samples.reserve(2 * reader.left());
    for byte in reader.take_rest() {
        for nibble in [byte >> 4, byte & 0x0F] {
            state.advance(nibble);
            samples.push(state.predictor);
        }
    }
    Some(state)
}

impl State {
    fn advance(&mut self, nibble: u8) {
        let step = STEPS.get(usize::from(self.step_index)).copied().unwrap_or_default();
        let mut difference = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            if nibble & bit != 0 {
                difference += part;
            }
        }
        let difference = if nibble & 8 != 0 { -difference } else { difference };
        let predictor = (i32::from(self.predictor) + difference).clamp(i16::MIN.into(), i16::MAX.into());
        let turn = match nibble & 7 {
            4 => 2,
            5 => 4,
            6 => 6,
            7 => 8,
            _ => -1,
        };
        self.predictor = predictor as i16;
        self.step_index = (i32::from(self.step_index) + turn).clamp(0, INDEX_MAX) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_nibble_comes_first_from_the_state_in_the_packet() {
        let mut samples = Vec::new();
        let state = decode(&[0x10, 0x00, 0, 0, 0x7F], &mut samples);
        // step 7: 0 + 7 + 3 + 1 = 11 up, then with step 16: 2 + 16 + 8 + 4 = 30 down
        assert_eq!(samples, [16 + 11, 16 + 11 - 30]);
        assert_eq!(state, Some(State { predictor: -3, step_index: 16 }));
    }

    #[test]
    fn hostile_states_are_clamped() {
        let mut samples = Vec::new();
        assert_eq!(decode(&[1, 2, 3], &mut samples), None);
        decode(&[0xFF, 0x7F, 0xFF, 0xFF, 0x77, 0x77, 0xFF, 0xFF], &mut samples);
        assert_eq!(samples.len(), 8);
        assert_eq!(samples[3], i16::MAX);
    }
}
