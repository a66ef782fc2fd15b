//! The machine-readable block code in the corner of simulated pictures, so that a test can tell from the pixels of a
//! browser which channel it sees, and that the picture moves.
//!
//! A row of [`BLOCKS`] squares of [`BLOCK_PX`] pixels from the top left corner of a picture [`WIDTH_PX`] wide, black
//! for 0 and white for 1, most significant bit first: channel (8 bits), frame number (16 bits), check (8 bits: the
//! exclusive or of the three bytes before and 0xa5). A scaled picture reads as well: sizes follow its width.

/// Width of the pictures that carry the code.
pub const WIDTH_PX: usize = 640;
/// Height of the pictures that carry the code.
pub const HEIGHT_PX: usize = 360;
/// Side of one square in such a picture.
pub const BLOCK_PX: usize = 16;
/// How many squares, one bit each.
pub const BLOCKS: usize = 32;

/// Luma of a 0 and of a 1, in the range of broadcast video.
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const THRESHOLD: u32 = 128;
const CHECK: u8 = 0xa5;

/// What a picture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The camera's channel, from 1.
    pub channel: u8,
    /// The frame's number within the clip, from 0.
    pub frame: u16,
}

impl Code {
    fn bits(self) -> u32 {
        let [high, low] = self.frame.to_be_bytes();
        u32::from_be_bytes([self.channel, high, low, self.channel ^ high ^ low ^ CHECK])
    }

    /// Paints the code into the luma plane of a picture of [`WIDTH_PX`], row after row.
    ///
    /// # Panics
    /// When the plane has fewer than [`BLOCK_PX`] rows.
    pub fn paint(self, luma: &mut [u8]) {
        let bits = self.bits();
        for row in luma.chunks_exact_mut(WIDTH_PX).take(BLOCK_PX) {
            for (block, pixels) in row.chunks_exact_mut(BLOCK_PX).take(BLOCKS).enumerate() {
                pixels.fill(if bits >> (BLOCKS - 1 - block) & 1 == 1 { WHITE } else { BLACK });
            }
        }
    }

    /// Reads the code off a luma plane or a gray picture of `width` pixels.
    pub fn read_gray(gray: &[u8], width: usize) -> Option<Self> {
        Self::read(width, |x, y| gray.get(y * width + x).map(|value| u32::from(*value)))
    }

    /// Reads the code off a picture of `width` pixels of `bytes_per_pixel` bytes, red, green and blue first (3 for
    /// RGB, 4 for the RGBA of a browser's canvas).
    pub fn read_rgb(pixels: &[u8], width: usize, bytes_per_pixel: usize) -> Option<Self> {
        Self::read(width, |x, y| {
            let start = (y * width + x) * bytes_per_pixel;
            pixels.get(start..start + 3).map(|rgb| rgb.iter().map(|value| u32::from(*value)).sum::<u32>() / 3)
        })
    }

    fn read(width: usize, pixel: impl Fn(usize, usize) -> Option<u32>) -> Option<Self> {
        let mut bits = 0u32;
        for block in 0..BLOCKS {
            let scaled = |px: usize| px * width / WIDTH_PX;
            let (left, right) = (scaled(block * BLOCK_PX + 5), scaled(block * BLOCK_PX + 11).max(1));
            let (top, bottom) = (scaled(5), scaled(11).max(1));
            let (mut sum, mut count) = (0, 0);
            for y in top..bottom.max(top + 1) {
                for x in left..right.max(left + 1) {
                    sum += pixel(x, y)?;
                    count += 1;
                }
            }
            bits = bits << 1 | u32::from(sum > THRESHOLD * count);
        }
        let [channel, high, low, _] = bits.to_be_bytes();
        let code = Self { channel, frame: u16::from_be_bytes([high, low]) };
        (code.bits() == bits).then_some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_from_gray_and_from_rgba() {
        for (channel, frame) in [(1, 0), (3, 299), (255, 65_535), (8, 0x1234)] {
            let code = Code { channel, frame };
            let mut luma = vec![90; WIDTH_PX * HEIGHT_PX];
            code.paint(&mut luma);
            assert_eq!(Code::read_gray(&luma, WIDTH_PX), Some(code));
            let rgba: Vec<u8> = luma.iter().flat_map(|y| [*y, *y, *y, 255]).collect();
            assert_eq!(Code::read_rgb(&rgba, WIDTH_PX, 4), Some(code));
        }
    }

    #[test]
    fn comes_back_from_half_the_size() {
        let code = Code { channel: 2, frame: 77 };
        let mut luma = vec![90; WIDTH_PX * HEIGHT_PX];
        code.paint(&mut luma);
        let half: Vec<u8> =
            luma.chunks_exact(WIDTH_PX).step_by(2).flat_map(|row| row.iter().copied().step_by(2)).collect();
        assert_eq!(Code::read_gray(&half, WIDTH_PX / 2), Some(code));
    }

    #[test]
    fn a_picture_without_code_reads_as_none() {
        assert_eq!(Code::read_gray(&vec![0; WIDTH_PX * HEIGHT_PX], WIDTH_PX), None);
        assert_eq!(Code::read_gray(&vec![255; WIDTH_PX * HEIGHT_PX], WIDTH_PX), None);
        assert_eq!(Code::read_gray(&[], WIDTH_PX), None);
    }
}
