//! AAC in its two wrappings: ADTS frames and the AudioSpecificConfig of ISO/IEC 14496-3.

use crate::reader::{Reader, Truncated};

/// Samples of one AAC-LC frame.
pub const SAMPLES_PER_FRAME: u32 = 1024;

/// AAC-LC among the audio object types.
const OBJECT_TYPE_LC: u8 = 2;

/// Longest ADTS frame, header included: its length has 13 bits.
const MAX_ADTS_BYTES: usize = 0x1FFF;

/// Length of an ADTS header without checksum.
const ADTS_HEADER_BYTES: usize = 7;

/// The rates that an index can name.
const SAMPLE_RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// What a decoder must know of an AAC track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioSpecificConfig {
    /// Audio object type; 2 is AAC-LC.
    pub object_type: u8,
    /// Sampling rate, Hz: one of the thirteen standard ones, from 7,350 to 96,000 (of another, the nearest
    /// standard one is written).
    pub sample_rate_hz: u32,
    /// Channel configuration: 1 mono, 2 stereo, up to 7; 0 is said in the frames.
    pub channels: u8,
}

/// Why bytes are no ADTS frame or AudioSpecificConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// The bytes end inside it.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// No ADTS sync word.
    #[error("no ADTS sync word")]
    Sync,
    /// An object type that needs more than the two bytes read here.
    #[error("audio object type {0} is not supported")]
    ObjectType(u8),
    /// A sampling rate index without a rate.
    #[error("sampling rate index {0} is not supported")]
    SampleRate(u8),
    /// A length field that does not hold its own header.
    #[error("ADTS frame length {0} is shorter than its header")]
    Length(usize),
}

/// One ADTS frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsFrame<'a> {
    /// What its header says.
    pub config: AudioSpecificConfig,
    /// The raw AAC frame.
    pub data: &'a [u8],
}

impl AudioSpecificConfig {
    /// AAC-LC at one of the thirteen standard rates; `None` for another rate, no channel or more than seven.
    pub fn lc(sample_rate_hz: u32, channels: u8) -> Option<Self> {
        let is_standard = SAMPLE_RATES_HZ.contains(&sample_rate_hz) && (1..=7).contains(&channels);
        is_standard.then_some(Self { object_type: OBJECT_TYPE_LC, sample_rate_hz, channels })
    }

    /// Reads the first two bytes of a config; extensions behind them are ignored.
    pub fn decode(bytes: &[u8]) -> Result<Self, AacError> {
        let bits = Reader::new(bytes).u16()?;
        Self::new((bits >> 11) as u8, (bits >> 7 & 0x0F) as u8, (bits >> 3 & 0x0F) as u8)
    }

    fn new(object_type: u8, rate_index: u8, channels: u8) -> Result<Self, AacError> {
        if !(1..=30).contains(&object_type) {
            return Err(AacError::ObjectType(object_type));
        }
        let sample_rate_hz =
            *SAMPLE_RATES_HZ.get(usize::from(rate_index)).ok_or(AacError::SampleRate(rate_index))?;
        Ok(Self { object_type, sample_rate_hz, channels })
    }

    fn rate_index(&self) -> u8 {
        let distance = |rate: &u32| rate.abs_diff(self.sample_rate_hz);
        let rates = SAMPLE_RATES_HZ.iter().zip(0_u8..);
        rates.min_by_key(|(rate, _)| distance(rate)).map_or(0, |(_, index)| index)
    }

    /// The two bytes of the config.
    pub fn encode(&self) -> [u8; 2] {
        let bits = u16::from(self.object_type & 0x1F) << 11
            | u16::from(self.rate_index()) << 7
            | u16::from(self.channels & 0x0F) << 3;
        bits.to_be_bytes()
    }

    /// Codec string of RFC 6381: `mp4a.40.2`.
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }

    /// A raw frame of silence; `None` for more than two channels and for what is not AAC-LC. It holds no
    /// spectrum, so it is the same at every rate.
    pub fn silent_frame(&self) -> Option<&'static [u8]> {
        match (self.object_type, self.channels) {
            (OBJECT_TYPE_LC, 1) => Some(&[0x00, 0xC8, 0x00, 0x80, 0x23, 0x80]),
            (OBJECT_TYPE_LC, 2) => Some(&[0x21, 0x00, 0x49, 0x90, 0x02, 0x19, 0x00, 0x23, 0x80]),
            _ => None,
        }
    }

    /// Length of one frame, 90 kHz units, rounded down.
    pub fn frame_duration_90k(&self) -> u32 {
        SAMPLES_PER_FRAME * 90_000 / self.sample_rate_hz.max(1)
    }

    /// The seven-byte ADTS header of a raw frame of `data_bytes`; `None` above 8,184, which ADTS cannot say.
    pub fn adts_header(&self, data_bytes: usize) -> Option<[u8; ADTS_HEADER_BYTES]> {
        let length = data_bytes.checked_add(ADTS_HEADER_BYTES).filter(|length| *length <= MAX_ADTS_BYTES)?;
        let [.., high, low] = (length << 5 | 0x1F).to_be_bytes();
        let top = (length >> 11) as u8;
        // MPEG-4, no checksum; the profile is the object type less one and has two bits; buffer fullness
        // 0x7FF: variable bit rate
        let profile = self.object_type.wrapping_sub(1) & 3;
        let channels = self.channels & 7;
        Some([
            0xFF,
            0xF1,
            profile << 6 | self.rate_index() << 2 | channels >> 2,
            channels << 6 | top & 3,
            high,
            low,
            0xFC,
        ])
    }
}

/// The ADTS frames of `bytes`, front to back; ends after the first error.
pub fn adts_frames(bytes: &[u8]) -> AdtsFrames<'_> {
    AdtsFrames { reader: Reader::new(bytes) }
}

/// Iterator of [`adts_frames`].
#[derive(Clone, Debug)]
pub struct AdtsFrames<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for AdtsFrames<'a> {
    type Item = Result<AdtsFrame<'a>, AacError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let frame = adts_frame(&mut self.reader);
        if frame.is_err() {
            self.reader.take_rest();
        }
        Some(frame)
    }
}

fn adts_frame<'a>(reader: &mut Reader<'a>) -> Result<AdtsFrame<'a>, AacError> {
    let [sync, flags, profile, channels, high, low, _] = reader.array()?;
    if sync != 0xFF || flags & 0xF6 != 0xF0 {
        return Err(AacError::Sync);
    }
    let length = usize::from(channels & 3) << 11 | usize::from(high) << 3 | usize::from(low >> 5);
    let checksum_bytes = if flags & 1 == 0 { 2 } else { 0 };
    let data_bytes =
        length.checked_sub(ADTS_HEADER_BYTES + checksum_bytes).ok_or(AacError::Length(length))?;
    reader.bytes(checksum_bytes)?;
    let channels = (profile & 1) << 2 | channels >> 6;
    let config = AudioSpecificConfig::new((profile >> 6) + 1, profile >> 2 & 0x0F, channels)?;
    Ok(AdtsFrame { config, data: reader.bytes(data_bytes)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_config_of_8_khz_mono_lc() {
        let config = AudioSpecificConfig::lc(8_000, 1).unwrap();
        assert_eq!(config.encode(), [0x15, 0x88]);
        assert_eq!(AudioSpecificConfig::decode(&[0x15, 0x88, 0x56, 0xE5]), Ok(config));
        assert_eq!((config.sample_rate_hz, config.frame_duration_90k()), (8_000, 11_520));
        assert_eq!(AudioSpecificConfig::lc(8_001, 1), None);
        assert_eq!(AudioSpecificConfig::decode(&[0x17, 0x88]), Err(AacError::SampleRate(15)));
    }

    proptest! {
        #[test]
        fn adts_frames_come_back(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            rate in 0_usize..13,
            channels in 1_u8..8,
        ) {
            let config = AudioSpecificConfig::lc(SAMPLE_RATES_HZ[rate], channels).unwrap();
            let mut bytes = Vec::new();
            for frame in &frames {
                bytes.extend_from_slice(&config.adts_header(frame.len()).unwrap());
                bytes.extend_from_slice(frame);
            }
            let back: Vec<AdtsFrame<'_>> = adts_frames(&bytes).map(Result::unwrap).collect();
            prop_assert!(back.iter().all(|frame| frame.config == config));
            let data: Vec<Vec<u8>> = back.iter().map(|frame| frame.data.to_vec()).collect();
            prop_assert_eq!(data, frames);
        }

        #[test]
        fn hostile_bytes_end_after_one_error(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            for (byte, sync) in bytes.iter_mut().zip([0xFF, 0xF1]) { *byte = sync; }
            let errors = adts_frames(&bytes).filter(Result::is_err).count();
            prop_assert!(errors <= 1);
        }
    }
}
