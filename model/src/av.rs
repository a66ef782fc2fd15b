//! Audio and video attributes of a terminal and the codecs of a stream.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A video codec, by its JT/T 1078-2016 table 12 meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264 / AVC (payload type 98).
    H264,
    /// H.265 / HEVC (payload type 99).
    H265,
}

/// An audio codec, by its JT/T 1078-2016 table 12 meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    /// G.711 A-law, 8 kHz mono (6).
    G711a,
    /// G.711 µ-law, 8 kHz mono (7).
    G711u,
    /// G.726 (8).
    G726,
    /// AAC in ADTS (19).
    Aac,
    /// IMA ADPCM, high nibble first, own state in every packet (26).
    Adpcm,
}

/// What a terminal says of its sound and pictures (JT/T 1078-2016, 0x1003).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AvAttributes {
    /// Audio codec, JT/T 1078 payload type.
    pub audio_payload_type: u8,
    /// The same by name, where this platform knows it.
    pub audio_codec: Option<AudioCodec>,
    /// Input audio channels.
    pub audio_channels: u8,
    /// Sampling rate, Hz.
    pub audio_sample_rate_hz: u32,
    /// Bits per sample.
    pub audio_sample_bits: u8,
    /// Length of an audio frame, bytes.
    pub audio_frame_bytes: u16,
    /// Whether the terminal says that it can play sound.
    pub audio_output: bool,
    /// Video codec, JT/T 1078 payload type.
    pub video_payload_type: u8,
    /// The same by name, where this platform knows it.
    pub video_codec: Option<VideoCodec>,
    /// Most physical audio channels.
    pub audio_channels_max: u8,
    /// Most physical video channels.
    pub video_channels_max: u8,
}
