//! H.265: NAL unit types, and the sequence parameter set as far as size and profile go (clause 7.3.2.2.1).

use std::fmt::Write;

use super::MAX_PICTURE_SIDE;
use super::bits::{BitError, BitReader};
use super::cropping::{cropped, window};

pub(super) const VPS: u8 = 32;
pub(super) const SPS: u8 = 33;
pub(super) const PPS: u8 = 34;
pub(super) const ACCESS_UNIT_DELIMITER: u8 = 35;
pub(super) const FILLER: u8 = 38;

/// nal_unit_type.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    Some(unit.first()? >> 1 & 0x3F)
}

/// Slice segments; those from 16 on (IRAP) a decoder can start at.
pub(super) fn is_slice(unit_type: u8) -> bool {
    unit_type < 32
}

/// BLA, IDR, CRA and the two reserved IRAP types.
pub(super) fn is_irap(unit_type: u8) -> bool {
    (16..=23).contains(&unit_type)
}

/// What a sequence parameter set says of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// general_profile_space, 0-3.
    pub profile_space: u8,
    /// general_tier_flag: high tier.
    pub high_tier: bool,
    /// general_profile_idc, 0-31.
    pub profile_idc: u8,
    /// The 32 general_profile_compatibility_flags, the first in the highest bit.
    pub compatibility: u32,
    /// The 48 constraint bits that follow.
    pub constraints: [u8; 6],
    /// general_level_idc: thirty times the level.
    pub level_idc: u8,
    /// Temporal layers, 1-7.
    pub temporal_layers: u8,
    /// sps_temporal_id_nesting_flag.
    pub temporal_nesting: bool,
    /// sps_seq_parameter_set_id, 0-15.
    pub id: u8,
    /// chroma_format_idc, 0-3; 1 is 4:2:0.
    pub chroma_format: u8,
    /// Bits per luma sample.
    pub luma_bits: u8,
    /// Bits per chroma sample.
    pub chroma_bits: u8,
    /// Picture width after cropping, pixels.
    pub width: u32,
    /// Picture height after cropping, pixels.
    pub height: u32,
}

impl Sps {
    /// Reads a NAL unit of type 33, its two header bytes included.
    pub fn parse(unit: &[u8]) -> Result<Self, BitError> {
        let mut bits = BitReader::new(unit);
        if bits.byte()? >> 1 & 0x3F != SPS {
            return Err(BitError::Range("nal_unit_type"));
        }
        bits.byte()?;
        bits.bits(4)?; // sps_video_parameter_set_id
        let sub_layers = bits.bits(3)? as u8; // sps_max_sub_layers_minus1
        if sub_layers > 6 {
            return Err(BitError::Range("sps_max_sub_layers_minus1"));
        }
        let temporal_nesting = bits.flag()?;
        let profile_space = bits.bits(2)? as u8;
        let high_tier = bits.flag()?;
        let profile_idc = bits.bits(5)? as u8;
        let compatibility = bits.bits(32)? as u32;
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = bits.byte()?;
        }
        let level_idc = bits.byte()?;
        skip_sub_layers(&mut bits, sub_layers)?;
        let id = bits.unsigned("sps_seq_parameter_set_id", 15)? as u8;
        let chroma_format = bits.unsigned("chroma_format_idc", 3)? as u8;
        let planes_apart = chroma_format == 3 && bits.flag()?;
        let width = bits.unsigned("pic_width_in_luma_samples", MAX_PICTURE_SIDE)?;
        let height = bits.unsigned("pic_height_in_luma_samples", MAX_PICTURE_SIDE)?;
        let is_cropped = bits.flag()?;
        let (crop_x, crop_y) =
            if is_cropped { window(&mut bits, chroma_format, planes_apart)? } else { (0, 0) };
        let (width, height) = (cropped(width, crop_x)?, cropped(height, crop_y)?);
        let luma_bits = 8 + bits.unsigned("bit_depth_luma_minus8", 7)? as u8;
        let chroma_bits = 8 + bits.unsigned("bit_depth_chroma_minus8", 7)? as u8;
        Ok(Self {
            profile_space,
            high_tier,
            profile_idc,
            compatibility,
            constraints,
            level_idc,
            temporal_layers: sub_layers + 1,
            temporal_nesting,
            id,
            chroma_format,
            luma_bits,
            chroma_bits,
            width,
            height,
        })
    }

    /// Codec string of RFC 6381 and ISO/IEC 14496-15 annex E: `hvc1.1.6.L93.B0`.
    pub fn codec_string(&self) -> String {
        let space = ["", "A", "B", "C"].get(usize::from(self.profile_space)).copied().unwrap_or_default();
        let tier = if self.high_tier { 'H' } else { 'L' };
        let mut text = format!(
            "hvc1.{space}{}.{:X}.{tier}{}",
            self.profile_idc,
            self.compatibility.reverse_bits(),
            self.level_idc
        );
        let used = self.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in self.constraints.iter().take(used) {
            // a String takes every write
            let _ = write!(text, ".{byte:X}");
        }
        text
    }
}

/// vps_video_parameter_set_id of a NAL unit of type 32.
pub(super) fn vps_id(unit: &[u8]) -> Result<u8, BitError> {
    let mut bits = BitReader::new(unit);
    bits.skip(16)?;
    Ok(bits.bits(4)? as u8)
}

/// pps_pic_parameter_set_id of a NAL unit of type 34.
pub(super) fn pps_id(unit: &[u8]) -> Result<u8, BitError> {
    let mut bits = BitReader::new(unit);
    bits.skip(16)?;
    Ok(bits.unsigned("pps_pic_parameter_set_id", 63)? as u8)
}

fn skip_sub_layers(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<(), BitError> {
    let mut present = [(false, false); 6];
    for layer in present.iter_mut().take(usize::from(sub_layers)) {
        *layer = (bits.flag()?, bits.flag()?);
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - u32::from(sub_layers)))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hostile_sets_never_panic(mut unit in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = unit.first_mut() { *first = 0x42; }
            if let Ok(sps) = Sps::parse(&unit) {
                prop_assert!(sps.width > 0 && sps.width <= MAX_PICTURE_SIDE);
                prop_assert!(!sps.codec_string().is_empty());
            }
        }
    }
}
