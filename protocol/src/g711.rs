//! G.711 (ITU-T): one byte, one 8 kHz sample. A-law is JT/T 1078 payload type 6, µ-law 7.

/// The sample of an A-law byte.
pub fn decode_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let mantissa = i16::from(byte & 0x0F) << 4;
    let magnitude = match byte >> 4 & 7 {
        0 => mantissa + 8,
        segment => (mantissa + 0x108) << (segment - 1),
    };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

/// The sample of a µ-law byte.
pub fn decode_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i16::from(byte & 0x0F) << 3) + 0x84) << (byte >> 4 & 7)) - 0x84;
    if byte & 0x80 != 0 { -magnitude } else { magnitude }
}

/// The A-law byte of a sample.
pub fn encode_alaw(sample: i16) -> u8 {
    let value = sample >> 3;
    let (value, mask) = if value >= 0 { (value, 0xD5) } else { (-value - 1, 0x55) };
    let segment = segment(value, 0x1F);
    let mantissa = value >> segment.max(1) & 0x0F;
    (segment << 4 | mantissa as u8) ^ mask
}

/// The µ-law byte of a sample.
pub fn encode_ulaw(sample: i16) -> u8 {
    let value = i32::from(sample >> 2);
    let (value, mask) = if value >= 0 { (value, 0xFF) } else { (-value, 0x7F) };
    let value = (value.min(8158) + 0x21) as i16;
    let segment = segment(value, 0x3F);
    let mantissa = value >> (segment + 1) & 0x0F;
    (segment << 4 | mantissa as u8) ^ mask
}

/// Number of the first segment whose end is not below `value`; each ends at twice the one before.
fn segment(value: i16, first_end: i16) -> u8 {
    (0..7).find(|segment| i32::from(value) < i32::from(first_end + 1) << segment).unwrap_or(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!([0xD5, 0x55, 0xAA, 0x2A].map(decode_alaw), [8, -8, 32_256, -32_256]);
        assert_eq!([0xFF, 0x7F, 0x80, 0x00].map(decode_ulaw), [0, 0, 32_124, -32_124]);
        assert_eq!([0, -1, i16::MAX, i16::MIN].map(encode_alaw), [0xD5, 0x55, 0xAA, 0x2A]);
        assert_eq!([0, i16::MAX, i16::MIN].map(encode_ulaw), [0xFF, 0x80, 0x00]);
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
            if byte != 0x7F {
                // 0x7F is a second zero
                assert_eq!(encode_ulaw(decode_ulaw(byte)), byte);
            }
        }
    }

    #[test]
    fn every_sample_comes_back_nearly() {
        for sample in i16::MIN..=i16::MAX {
            let room = i32::from(sample).abs() / 16 + 16;
            for back in [decode_alaw(encode_alaw(sample)), decode_ulaw(encode_ulaw(sample))] {
                let off = i32::from(back) - i32::from(sample);
                assert!(off.abs() <= room.max(16) + 650 * i32::from(sample.unsigned_abs() > 32_000));
            }
        }
    }
}
