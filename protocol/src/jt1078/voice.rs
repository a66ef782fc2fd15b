//! The four bytes that HiSilicon encoders put before a voice packet: `00 01 LL 00`, LL = 16-bit words that follow.

use bytes::Bytes;

use super::PayloadType;

/// Length of the header.
pub const HEADER_BYTES: usize = 4;

/// The voice without its HiSilicon header, and whether one was there. Only ADPCM, G.711A/U and G.726 carry it.
pub fn strip(payload_type: PayloadType, body: Bytes) -> (Bytes, bool) {
    let carries = matches!(
        payload_type,
        PayloadType::ADPCM | PayloadType::G711A | PayloadType::G711U | PayloadType::G726
    );
    if !carries || !has_header(&body) {
        return (body, false);
    }
    (body.slice(HEADER_BYTES..), true)
}

/// Appends `voice` behind its HiSilicon header, for a device that puts one on its own packets.
/// Without the header when the length cannot be said: odd, or above 510 bytes.
pub fn prepend(voice: &[u8], out: &mut Vec<u8>) {
    if voice.len().is_multiple_of(2)
        && let Ok(words) = u8::try_from(voice.len() / 2)
    {
        out.extend_from_slice(&[0, 1, words, 0]);
    }
    out.extend_from_slice(voice);
}

fn has_header(body: &[u8]) -> bool {
    match body {
        [0, 1, words, 0, voice @ ..] => voice.len() == 2 * usize::from(*words),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_that_counts_right_is_stripped() {
        let mut body = Vec::new();
        prepend(&[7; 164], &mut body);
        assert_eq!(body[..4], [0x00, 0x01, 0x52, 0x00]);
        let (voice, was_there) = strip(PayloadType::ADPCM, body.clone().into());
        assert!(was_there);
        assert_eq!(voice, vec![7; 164]);
        assert!(!strip(PayloadType::AAC, body.clone().into()).1);
        body.push(0);
        assert!(!strip(PayloadType::ADPCM, body.into()).1);
        assert!(!strip(PayloadType::G711A, Bytes::from_static(&[0, 1, 1])).1);
    }

    #[test]
    fn a_length_that_the_header_cannot_say_goes_without() {
        for voice in [vec![1; 3], vec![1; 512]] {
            let mut body = Vec::new();
            prepend(&voice, &mut body);
            assert_eq!(body, voice);
        }
    }
}
