//! NAL units of H.264 and H.265: Annex B, parameter sets, access units, decoder records.
//!
//! Knows no packets and no containers; takes hostile bytes.

mod annexb;
mod parameter_sets;

pub use annexb::{NalUnits, length_prefixed, nal_units};
pub use parameter_sets::ParameterSets;

/// A video codec whose NAL units are understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
}

/// Whether a decoder can start at this Annex B access unit: it holds an IDR (H.264) or IRAP (H.265) slice.
pub fn is_key(_codec: VideoCodec, _access_unit: &[u8]) -> bool {
    todo!()
}
