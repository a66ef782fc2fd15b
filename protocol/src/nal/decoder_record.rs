//! avcC and hvcC: the decoder configuration records of ISO/IEC 14496-15.

use bytes::Bytes;

use super::{ParameterSets, SetKind, VideoCodec, h264, h265};

/// NAL units stand behind lengths of four bytes (lengthSizeMinusOne).
const LENGTH_SIZE_MINUS_ONE: u8 = 3;

pub(super) fn write(sets: &ParameterSets) -> Option<Vec<u8>> {
    if !sets.is_complete() {
        return None;
    }
    match sets.codec() {
        VideoCodec::H264 => avcc(sets),
        VideoCodec::H265 => hvcc(sets),
    }
}

fn avcc(sets: &ParameterSets) -> Option<Vec<u8>> {
    let sps = h264::Sps::parse(sets.sequence()?).ok()?;
    let mut record = vec![1, sps.profile_idc, sps.constraints, sps.level_idc, 0xFC | LENGTH_SIZE_MINUS_ONE];
    record.push(0xE0 | count(sets, SetKind::Sequence)?);
    sets.units_of(SetKind::Sequence).try_for_each(|unit| append(unit, &mut record))?;
    record.push(count(sets, SetKind::Picture)?);
    sets.units_of(SetKind::Picture).try_for_each(|unit| append(unit, &mut record))?;
    if h264::has_chroma_fields(sps.profile_idc) {
        let depths = [0xF8 | (sps.luma_bits - 8), 0xF8 | (sps.chroma_bits - 8)];
        record.push(0xFC | sps.chroma_format);
        record.extend_from_slice(&depths);
        record.push(0);
    }
    Some(record)
}

fn hvcc(sets: &ParameterSets) -> Option<Vec<u8>> {
    let sps = h265::Sps::parse(sets.sequence()?).ok()?;
    let mut record = vec![1];
    record.push(sps.profile_space << 6 | u8::from(sps.high_tier) << 5 | sps.profile_idc);
    record.extend_from_slice(&sps.compatibility.to_be_bytes());
    record.extend_from_slice(&sps.constraints);
    record.push(sps.level_idc);
    // min_spatial_segmentation_idc and parallelismType unknown, average frame rate unspecified
    record.extend_from_slice(&[0xF0, 0x00, 0xFC, 0xFC | sps.chroma_format]);
    record.extend_from_slice(&[0xF8 | (sps.luma_bits - 8), 0xF8 | (sps.chroma_bits - 8), 0, 0]);
    record.push(sps.temporal_layers << 3 | u8::from(sps.temporal_nesting) << 2 | LENGTH_SIZE_MINUS_ONE);
    let kinds = [(SetKind::Video, h265::VPS), (SetKind::Sequence, h265::SPS), (SetKind::Picture, h265::PPS)];
    record.push(3);
    for (kind, unit_type) in kinds {
        // array_completeness: all sets of this kind are here, none in the samples
        record.push(0x80 | unit_type);
        record.extend_from_slice(&[0, count(sets, kind)?]);
        sets.units_of(kind).try_for_each(|unit| append(unit, &mut record))?;
    }
    Some(record)
}

fn count(sets: &ParameterSets, kind: SetKind) -> Option<u8> {
    u8::try_from(sets.units_of(kind).count()).ok()
}

fn append(unit: &Bytes, record: &mut Vec<u8>) -> Option<()> {
    record.extend_from_slice(&u16::try_from(unit.len()).ok()?.to_be_bytes());
    record.extend_from_slice(unit);
    Some(())
}
