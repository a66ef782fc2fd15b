//! MPEG transport streams for HLS segments: PAT, PMT, PES, PCR.

use crate::media::{Sample, Tracks};

/// Length of a transport packet.
pub const PACKET_BYTES: usize = 188;

/// Writes one stream's transport packets; continuity counters run on from segment to segment.
#[derive(Clone, Debug)]
pub struct Muxer {}

impl Muxer {
    /// For these tracks.
    pub fn new(_tracks: Tracks) -> Self {
        todo!()
    }

    /// Begins a segment: appends PAT and PMT.
    pub fn begin_segment(&mut self, _out: &mut Vec<u8>) {
        todo!()
    }

    /// Takes new tracks after a codec change; [`Muxer::begin_segment`] must follow.
    pub fn change(&mut self, _tracks: Tracks) {
        todo!()
    }

    /// Appends one sample as a PES.
    pub fn sample(&mut self, _sample: &Sample<'_>, _out: &mut Vec<u8>) {
        todo!()
    }
}
