//! What muxers take: the tracks of a stream and codec-neutral samples, whatever the device spoke.
//!
//! Video data is one access unit in Annex B, as terminals send it; each muxer turns it into what its
//! container wants. Audio data is one raw AAC frame (no ADTS). All times are in 90 kHz units.

use crate::aac::AudioSpecificConfig;
use crate::nal::{H264Sps, H265Sps, ParameterSets, VideoCodec, nal_units};

/// Ticks a second of every time in this module.
pub const TICKS_PER_SECOND: u64 = 90_000;

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// The picture track.
    Video,
    /// The sound track.
    Audio,
}

/// One access unit or one AAC frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// Which track.
    pub track: Track,
    /// Decoding time, 90 kHz; rises within a track.
    pub dts_90k: u64,
    /// Presentation time, 90 kHz; equal to `dts_90k` for terminals, which send no B frames.
    pub pts_90k: u64,
    /// How long it lasts, 90 kHz; 0: until the next sample of its track, or as long as the one before.
    pub duration_90k: u32,
    /// Whether a decoder can start here. Always true for sound.
    pub key: bool,
    /// Annex B access unit, or raw AAC frame.
    pub data: &'a [u8],
}

impl<'a> Sample<'a> {
    /// A picture whose presentation follows decoding at once.
    pub fn video(dts_90k: u64, key: bool, data: &'a [u8]) -> Self {
        Self { track: Track::Video, dts_90k, pts_90k: dts_90k, duration_90k: 0, key, data }
    }

    /// A raw AAC frame of `duration_90k`.
    pub fn audio(dts_90k: u64, duration_90k: u32, data: &'a [u8]) -> Self {
        Self { track: Track::Audio, dts_90k, pts_90k: dts_90k, duration_90k, key: true, data }
    }
}

/// The tracks of a stream. When any of it changes, containers begin anew (new init segment, new sequence
/// headers).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// The picture track, if there is one.
    pub video: Option<VideoTrack>,
    /// The sound track, if there is one.
    pub audio: Option<AudioSpecificConfig>,
}

/// What a decoder must know of a picture track before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// H.264 or H.265.
    pub codec: VideoCodec,
    /// Picture width after cropping, pixels.
    pub width: u32,
    /// Picture height after cropping, pixels.
    pub height: u32,
    /// The parameter sets in force.
    pub parameter_sets: ParameterSets,
}

impl VideoTrack {
    /// The track that `parameter_sets` describe; `None` until they are complete and readable.
    pub fn new(parameter_sets: &ParameterSets) -> Option<Self> {
        parameter_sets.decoder_record()?;
        let unit = parameter_sets.sequence()?;
        let codec = parameter_sets.codec();
        let (width, height) = match codec {
            VideoCodec::H264 => H264Sps::parse(unit).map(|sps| (sps.width, sps.height)),
            VideoCodec::H265 => H265Sps::parse(unit).map(|sps| (sps.width, sps.height)),
        }
        .ok()?;
        Some(Self { codec, width, height, parameter_sets: parameter_sets.clone() })
    }

    /// Codec string of RFC 6381: `avc1.PPCCLL`, `hvc1.…`; empty if the sequence set cannot be read.
    pub fn codec_string(&self) -> String {
        let unit = self.parameter_sets.sequence().map(|unit| &unit[..]).unwrap_or_default();
        match self.codec {
            VideoCodec::H264 => H264Sps::parse(unit).map(|sps| sps.codec_string()),
            VideoCodec::H265 => H265Sps::parse(unit).map(|sps| sps.codec_string()),
        }
        .unwrap_or_default()
    }

    /// The units of an Annex B access unit that belong into a container's sample.
    pub(crate) fn sample_units<'a>(&self, access_unit: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let codec = self.codec;
        nal_units(access_unit).filter(move |unit| codec.is_sample_unit(unit))
    }
}

impl Tracks {
    /// RFC 6381 codec strings of all tracks, separated by commas, as HLS `CODECS` wants them.
    pub fn codec_string(&self) -> String {
        let video = self.video.as_ref().map(VideoTrack::codec_string);
        let audio = self.audio.as_ref().map(AudioSpecificConfig::codec_string);
        video.into_iter().chain(audio).collect::<Vec<_>>().join(",")
    }
}
