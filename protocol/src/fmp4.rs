//! Fragmented MP4: the init segment and media segments of HLS and Media Source Extensions.

use crate::media::{Sample, Tracks};

/// Appends the init segment (ftyp, moov) of `tracks`. A codec change needs a new one.
pub fn init_segment(_tracks: &Tracks, _out: &mut Vec<u8>) {
    todo!()
}

/// Appends one media segment (styp, moof, mdat) of `samples`, in any interleaving, each track in rising dts.
/// `sequence` rises from 1 from fragment to fragment. Tracks without samples are left out.
pub fn media_segment(_tracks: &Tracks, _sequence: u32, _samples: &[Sample<'_>], _out: &mut Vec<u8>) {
    todo!()
}
