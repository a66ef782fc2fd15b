//! The sound of a simulated channel: a sine of its own frequency, G.711 A-law, 8 kHz mono.

/// Samples a second.
pub(crate) const RATE_HZ: u32 = 8_000;
/// Samples of one packet: 40 ms.
pub(crate) const PACKET_SAMPLES: u32 = 320;
const AMPLITUDE: f64 = 8_000.0;

/// The frequency of a channel's tone: 400 Hz for channel 1 and 100 Hz more for each further one, up to 3,500 Hz.
pub(crate) fn frequency_hz(channel: u8) -> u32 {
    300 + 100 * (u32::from(channel.max(1) - 1) % 32 + 1)
}

/// Packet `number` of a channel's tone; packets join without a click.
pub(crate) fn packet(channel: u8, number: u64) -> Vec<u8> {
    let frequency = u64::from(frequency_hz(channel));
    let first = number * u64::from(PACKET_SAMPLES);
    (first..first + u64::from(PACKET_SAMPLES))
        .map(|sample| {
            let cycles = (sample * frequency % u64::from(RATE_HZ)) as f64 / f64::from(RATE_HZ);
            a_law(((cycles * std::f64::consts::TAU).sin() * AMPLITUDE) as i16)
        })
        .collect()
}

/// One 16-bit sample in A-law (ITU-T G.711 table 1a).
fn a_law(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    // 13 bits of magnitude; negative values count from -1.
    let magnitude = (if sample >= 0 { i32::from(sample) } else { -i32::from(sample) - 1 }) >> 4;
    let code = match magnitude {
        0..32 => magnitude,
        _ => {
            let shift = 27 - magnitude.leading_zeros() as i32;
            ((shift + 1) << 4) | ((magnitude >> shift) & 0x0f)
        }
    };
    (code as u8 | sign) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_of_known_samples() {
        // From ITU-T G.191's alaw_compress over 16-bit input.
        for (sample, code) in [
            (0, 0xd5),
            (-1, 0x55),
            (16, 0xd4),
            (32, 0xd7),
            (-33, 0x57),
            (1_000, 0xfa),
            (-1_000, 0x7a),
            (8_000, 0x8a),
            (32_767, 0xaa),
            (-32_768, 0x2a),
        ] {
            assert_eq!(a_law(sample), code, "{sample}");
        }
    }

    #[test]
    fn each_channel_has_its_tone_and_packets_join() {
        assert_eq!((frequency_hz(1), frequency_hz(2), frequency_hz(32)), (400, 500, 3_500));
        assert_eq!(packet(1, 0).len(), 320);
        // 400 Hz: 20 samples a cycle, 16 cycles a packet
        assert_eq!(packet(1, 0), packet(1, 7));
    }
}
