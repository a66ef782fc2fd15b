//! H.264: NAL unit types, and the sequence parameter set as far as size and profile go (clause 7.3.2.1.1).

use super::MAX_PICTURE_SIDE;
use super::bits::{BitError, BitReader};
use super::cropping::{cropped, window};

pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
pub(super) const ACCESS_UNIT_DELIMITER: u8 = 9;
pub(super) const FILLER: u8 = 12;

/// nal_unit_type.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    Some(unit.first()? & 0x1F)
}

/// What a sequence parameter set says of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc.
    pub profile_idc: u8,
    /// The constraint flags, as the byte between profile and level.
    pub constraints: u8,
    /// level_idc: ten times the level.
    pub level_idc: u8,
    /// seq_parameter_set_id, 0-31.
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
    /// Reads a NAL unit of type 7, its header byte included.
    pub fn parse(unit: &[u8]) -> Result<Self, BitError> {
        let mut bits = BitReader::new(unit);
        if bits.byte()? & 0x1F != SPS {
            return Err(BitError::Range("nal_unit_type"));
        }
        let (profile_idc, constraints, level_idc) = (bits.byte()?, bits.byte()?, bits.byte()?);
        let id = bits.unsigned("seq_parameter_set_id", 31)? as u8;
        let (mut chroma_format, mut luma_bits, mut chroma_bits, mut planes_apart) = (1, 8, 8, false);
        if has_chroma_fields(profile_idc) {
            chroma_format = bits.unsigned("chroma_format_idc", 3)? as u8;
            planes_apart = chroma_format == 3 && bits.flag()?;
            luma_bits = 8 + bits.unsigned("bit_depth_luma_minus8", 6)? as u8;
            chroma_bits = 8 + bits.unsigned("bit_depth_chroma_minus8", 6)? as u8;
            bits.flag()?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                skip_scaling_lists(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        bits.unsigned("log2_max_frame_num_minus4", 12)?;
        skip_picture_order(&mut bits)?;
        bits.unsigned("max_num_ref_frames", 16)?;
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        let blocks_max = MAX_PICTURE_SIDE / 16;
        let blocks_wide = bits.unsigned("pic_width_in_mbs_minus1", blocks_max - 1)? + 1;
        let map_units_high = bits.unsigned("pic_height_in_map_units_minus1", blocks_max - 1)? + 1;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.flag()?; // mb_adaptive_frame_field_flag
        }
        bits.flag()?; // direct_8x8_inference_flag
        let fields = if frames_only { 1 } else { 2 };
        let (mut width, mut height) = (blocks_wide * 16, map_units_high * 16 * fields);
        if bits.flag()? {
            let (crop_x, crop_y) = window(&mut bits, chroma_format, planes_apart)?;
            width = cropped(width, crop_x)?;
            height = cropped(height, crop_y * fields)?;
        }
        Ok(Self {
            profile_idc,
            constraints,
            level_idc,
            id,
            chroma_format,
            luma_bits,
            chroma_bits,
            width,
            height,
        })
    }

    /// Codec string of RFC 6381: `avc1.PPCCLL`.
    pub fn codec_string(&self) -> String {
        format!("avc1.{:02x}{:02x}{:02x}", self.profile_idc, self.constraints, self.level_idc)
    }
}

/// pic_parameter_set_id of a NAL unit of type 8.
pub(super) fn pps_id(unit: &[u8]) -> Result<u8, BitError> {
    let mut bits = BitReader::new(unit);
    bits.byte()?;
    Ok(bits.unsigned("pic_parameter_set_id", 255)? as u8)
}

/// Whether a profile's parameter set (and its avcC) carries chroma format and bit depths.
pub(super) fn has_chroma_fields(profile_idc: u8) -> bool {
    matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

fn skip_scaling_lists(bits: &mut BitReader<'_>, lists: u32) -> Result<(), BitError> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed("delta_scale")?).rem_euclid(256);
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Ok(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), BitError> {
    match bits.unsigned("pic_order_cnt_type", 2)? {
        0 => {
            bits.unsigned("log2_max_pic_order_cnt_lsb_minus4", 12)?;
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.signed("offset_for_non_ref_pic")?;
            bits.signed("offset_for_top_to_bottom_field")?;
            for _ in 0..bits.unsigned("num_ref_frames_in_pic_order_cnt_cycle", 255)? {
                bits.signed("offset_for_ref_frame")?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn high_profile_1080p_with_cropping() {
        // x264 1920x1080, High@4.0: 1088 lines coded, 8 cropped
        let unit = hex::decode("67640028acd940780227e5c044000003000400000300f03c60c658").unwrap();
        let sps = Sps::parse(&unit).unwrap();
        assert_eq!((sps.width, sps.height, sps.profile_idc, sps.level_idc), (1920, 1080, 100, 40));
        assert_eq!(sps.codec_string(), "avc1.640028");
    }

    proptest! {
        #[test]
        fn hostile_sets_never_panic(mut unit in prop::collection::vec(any::<u8>(), 0..80), high: bool) {
            if let Some(first) = unit.first_mut() { *first = 0x67; }
            if high && let Some(second) = unit.get_mut(1) { *second = 100; }
            if let Ok(sps) = Sps::parse(&unit) {
                prop_assert!(sps.width > 0 && sps.width <= MAX_PICTURE_SIDE);
                prop_assert!(sps.height > 0 && sps.height <= 2 * MAX_PICTURE_SIDE);
            }
        }
    }
}
