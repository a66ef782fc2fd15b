//! Payload types: which codec a packet's body, or an answer 0x1003, speaks of.

use std::fmt;

/// A codec by its number in JT/T 1078-2016 table 12; any number is kept as it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadType(pub u8);

impl PayloadType {
    /// G.711 A-law, 8 kHz mono.
    pub const G711A: Self = Self(6);
    /// G.711 µ-law, 8 kHz mono.
    pub const G711U: Self = Self(7);
    /// G.726; neither rate nor bit order is signalled.
    pub const G726: Self = Self(8);
    /// AAC, expected in ADTS.
    pub const AAC: Self = Self(19);
    /// AAC-LC; not met in the field, taken like [`Self::AAC`].
    pub const AAC_LC: Self = Self(24);
    /// IMA ADPCM, high nibble first, own state in every packet.
    pub const ADPCM: Self = Self(26);
    /// Transparent data.
    pub const TRANSPARENT: Self = Self(91);
    /// H.264, Annex B.
    pub const H264: Self = Self(98);
    /// H.265, Annex B.
    pub const H265: Self = Self(99);
    /// AVS.
    pub const AVS: Self = Self(100);
    /// SVAC.
    pub const SVAC: Self = Self(101);

    /// Whether the table gives this number to sound (1-28).
    pub fn is_audio(self) -> bool {
        (1..=28).contains(&self.0)
    }

    /// Whether the table gives this number to pictures (92-110, reserved ones included).
    pub fn is_video(self) -> bool {
        (92..=110).contains(&self.0)
    }

    /// The codec's name, where this crate has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::G711A => "G.711A",
            Self::G711U => "G.711U",
            Self::G726 => "G.726",
            Self::AAC => "AAC",
            Self::AAC_LC => "AAC-LC",
            Self::ADPCM => "ADPCMA",
            Self::TRANSPARENT => "transparent",
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::AVS => "AVS",
            Self::SVAC => "SVAC",
            _ => return None,
        })
    }
}

impl fmt::Debug for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name}({})", self.0),
            None => write!(f, "PayloadType({})", self.0),
        }
    }
}
