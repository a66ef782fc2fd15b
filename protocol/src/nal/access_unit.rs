//! What an access unit is good for, by its first slice.

use super::{SetKind, VideoCodec, h264, h265, nal_units};

/// What an Annex B access unit is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessUnit {
    /// A decoder can start here: IDR (H.264) or IRAP (H.265) slices.
    Key,
    /// A picture that leans on earlier ones.
    Picture,
    /// No slice at all: parameter sets that some devices send apart, or rubbish.
    NoPicture,
}

/// Looks at the units of an access unit up to its first slice.
pub fn classify(codec: VideoCodec, access_unit: &[u8]) -> AccessUnit {
    nal_units(access_unit)
        .find_map(|unit| slice(codec, unit))
        .map_or(AccessUnit::NoPicture, |key| if key { AccessUnit::Key } else { AccessUnit::Picture })
}

/// Whether a decoder can start at this Annex B access unit: it holds an IDR (H.264) or IRAP (H.265) slice.
pub fn is_key(codec: VideoCodec, access_unit: &[u8]) -> bool {
    classify(codec, access_unit) == AccessUnit::Key
}

/// Whether a unit is a slice that a decoder can start at; `None` for what is no slice.
pub(super) fn slice(codec: VideoCodec, unit: &[u8]) -> Option<bool> {
    match codec {
        VideoCodec::H264 => match h264::unit_type(unit)? {
            h264::IDR_SLICE => Some(true),
            h264::SLICE..h264::IDR_SLICE => Some(false),
            _ => None,
        },
        VideoCodec::H265 => {
            let unit_type = h265::unit_type(unit)?;
            h265::is_slice(unit_type).then(|| h265::is_irap(unit_type))
        }
    }
}

impl VideoCodec {
    /// Whether a unit belongs into a container's sample: neither parameter set (those stand in the decoder
    /// record) nor delimiter nor filler.
    pub(crate) fn is_sample_unit(self, unit: &[u8]) -> bool {
        match self {
            Self::H264 => !matches!(
                h264::unit_type(unit),
                None | Some(h264::SPS | h264::PPS | h264::ACCESS_UNIT_DELIMITER | h264::FILLER)
            ),
            Self::H265 => !matches!(
                h265::unit_type(unit),
                None | Some(h265::VPS | h265::SPS | h265::PPS | h265::ACCESS_UNIT_DELIMITER | h265::FILLER)
            ),
        }
    }

    /// Whether a unit is a parameter set of this kind.
    pub(crate) fn is_set(self, unit: &[u8], kind: SetKind) -> bool {
        match self {
            Self::H264 => match kind {
                SetKind::Video => false,
                SetKind::Sequence => h264::unit_type(unit) == Some(h264::SPS),
                SetKind::Picture => h264::unit_type(unit) == Some(h264::PPS),
            },
            Self::H265 => match kind {
                SetKind::Video => h265::unit_type(unit) == Some(h265::VPS),
                SetKind::Sequence => h265::unit_type(unit) == Some(h265::SPS),
                SetKind::Picture => h265::unit_type(unit) == Some(h265::PPS),
            },
        }
    }

    /// Whether a unit is an access unit delimiter.
    pub(crate) fn is_delimiter(self, unit: &[u8]) -> bool {
        match self {
            Self::H264 => h264::unit_type(unit) == Some(h264::ACCESS_UNIT_DELIMITER),
            Self::H265 => h265::unit_type(unit) == Some(h265::ACCESS_UNIT_DELIMITER),
        }
    }

    /// A delimiter that allows any kind of slice behind it.
    pub(crate) fn delimiter(self) -> &'static [u8] {
        match self {
            Self::H264 => &[0x09, 0xF0],
            Self::H265 => &[0x46, 0x01, 0x50],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slice_decides() {
        let h264 = |bytes| classify(VideoCodec::H264, bytes);
        assert_eq!(h264(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1]), AccessUnit::Key);
        assert_eq!(h264(&[0, 0, 1, 0x06, 1, 0, 0, 1, 0x61, 1]), AccessUnit::Picture);
        assert_eq!(h264(&[0, 0, 1, 0x67, 1]), AccessUnit::NoPicture);
        assert_eq!(h264(&[]), AccessUnit::NoPicture);
        let h265 = |bytes| classify(VideoCodec::H265, bytes);
        assert_eq!(h265(&[0, 0, 1, 0x40, 1, 0, 0, 1, 0x26, 1]), AccessUnit::Key);
        assert_eq!(h265(&[0, 0, 1, 0x02, 1]), AccessUnit::Picture);
        assert_eq!(h265(&[0, 0, 1, 0x42, 1]), AccessUnit::NoPicture);
    }
}
