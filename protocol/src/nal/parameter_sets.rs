//! The parameter sets in force, and when they change.

use bytes::Bytes;

use super::VideoCodec;

/// Cache of a stream's parameter sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSets {
    codec: VideoCodec,
}

impl ParameterSets {
    /// An empty cache.
    pub fn new(codec: VideoCodec) -> Self {
        Self { codec }
    }

    /// Whose sets these are.
    pub fn codec(&self) -> VideoCodec {
        self.codec
    }

    /// Takes the sets out of an Annex B access unit; whether any is new or different.
    pub fn update(&mut self, _access_unit: &[u8]) -> bool {
        todo!()
    }

    /// Whether a decoder record can be written: SPS and PPS, and for H.265 a VPS.
    pub fn is_complete(&self) -> bool {
        todo!()
    }

    /// The sets as NAL units, VPS, SPS, PPS, in the order a decoder wants them.
    pub fn units(&self) -> impl Iterator<Item = &Bytes> + '_ {
        std::iter::empty()
    }

    /// avcC or hvcC; `None` until complete and readable.
    pub fn decoder_record(&self) -> Option<Vec<u8>> {
        todo!()
    }
}
