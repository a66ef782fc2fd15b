//! Cropping: what a sequence parameter set cuts off its pictures, alike in both codecs.

use super::MAX_PICTURE_SIDE;
use super::bits::{BitError, BitReader};

/// Reads the four offsets of a cropping window (left, right, top, bottom): how many luma samples it takes off
/// width and height. `planes_apart`: separate_colour_plane_flag.
pub(super) fn window(
    bits: &mut BitReader<'_>,
    chroma_format: u8,
    planes_apart: bool,
) -> Result<(u32, u32), BitError> {
    // offsets count in chroma samples
    let (unit_x, unit_y) = match chroma_format {
        _ if planes_apart => (1, 1),
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let mut offset = || bits.unsigned("cropping offset", MAX_PICTURE_SIDE);
    let (left, right, top, bottom) = (offset()?, offset()?, offset()?, offset()?);
    Ok(((left + right) * unit_x, (top + bottom) * unit_y))
}

/// What is left of a side of a picture; nothing left is an error.
pub(super) fn cropped(side: u32, crop: u32) -> Result<u32, BitError> {
    match side.checked_sub(crop) {
        Some(side) if side > 0 => Ok(side),
        _ => Err(BitError::Range("cropping")),
    }
}
