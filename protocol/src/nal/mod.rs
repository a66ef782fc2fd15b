//! NAL units of H.264 and H.265: Annex B, parameter sets, access units, decoder records.
//!
//! Knows no packets and no containers; takes hostile bytes.

mod access_unit;
mod annexb;
mod bits;
mod cropping;
mod decoder_record;
mod h264;
mod h265;
mod parameter_sets;

pub use access_unit::{AccessUnit, classify, is_key};
pub use annexb::{NalUnits, append_annexb, from_length_prefixed, length_prefixed, nal_units};
pub use bits::BitError;
pub use h264::Sps as H264Sps;
pub use h265::Sps as H265Sps;
pub use parameter_sets::{MAX_SET_BYTES, MAX_SETS_PER_KIND, ParameterSets, SetKind};

/// Widest and highest picture taken, pixels (twice an 8K camera); a larger one is a broken parameter set.
pub const MAX_PICTURE_SIDE: u32 = 16_384;

/// A video codec whose NAL units are understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
}
