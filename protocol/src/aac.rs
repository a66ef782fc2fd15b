//! AAC in its two wrappings: ADTS frames and the AudioSpecificConfig of ISO/IEC 14496-3.

/// Samples of one AAC-LC frame.
pub const SAMPLES_PER_FRAME: u32 = 1024;

/// What a decoder must know of an AAC track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioSpecificConfig {
    /// Audio object type; 2 is AAC-LC.
    pub object_type: u8,
    /// Sampling rate, Hz; one of the thirteen standard rates.
    pub sample_rate_hz: u32,
    /// Channel configuration, 1-7; 1 mono, 2 stereo.
    pub channels: u8,
}

/// Why bytes are no ADTS frame or AudioSpecificConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// The bytes end inside it.
    #[error(transparent)]
    Truncated(#[from] crate::reader::Truncated),
    /// No ADTS sync word.
    #[error("no ADTS sync word")]
    Sync,
    /// A sampling rate index without a rate.
    #[error("sampling rate index {0} is not defined")]
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
    /// AAC-LC at one of the thirteen standard rates; `None` for another rate or more than seven channels.
    pub fn lc(_sample_rate_hz: u32, _channels: u8) -> Option<Self> {
        todo!()
    }

    /// Reads the first two bytes of a config; extensions behind them are ignored.
    pub fn decode(_bytes: &[u8]) -> Result<Self, AacError> {
        todo!()
    }

    /// The two bytes of the config.
    pub fn encode(&self) -> [u8; 2] {
        todo!()
    }

    /// Length of one frame, 90 kHz units, rounded down.
    pub fn frame_duration_90k(&self) -> u32 {
        todo!()
    }

    /// The seven-byte ADTS header of a raw frame of `data_bytes` (at most 8,184).
    pub fn adts_header(&self, _data_bytes: usize) -> [u8; 7] {
        todo!()
    }
}

/// Iterates over the ADTS frames of `bytes`; ends after the first error.
pub fn adts_frames(_bytes: &[u8]) -> impl Iterator<Item = Result<AdtsFrame<'_>, AacError>> + '_ {
    std::iter::empty()
}
