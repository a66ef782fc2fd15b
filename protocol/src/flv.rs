//! FLV: tags for HTTP-FLV and WebSocket-FLV. H.265 goes by the legacy codec id 12 that FLV players read.

use crate::media::{Sample, Tracks};

/// Writes one viewer's FLV. Times start at 0 with the first sample.
#[derive(Clone, Debug)]
pub struct Muxer {}

impl Muxer {
    /// A muxer that has written nothing.
    pub fn new() -> Self {
        todo!()
    }

    /// Appends the file header, onMetaData and the sequence headers of `tracks`. Once, first.
    pub fn begin(&mut self, _tracks: &Tracks, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Appends new metadata and sequence headers after a codec change within the stream.
    pub fn change(&mut self, _tracks: &Tracks, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Appends one sample as a tag.
    pub fn sample(&mut self, _sample: &Sample<'_>, _out: &mut Vec<u8>) {
        todo!()
    }
}

impl Default for Muxer {
    fn default() -> Self {
        Self::new()
    }
}
