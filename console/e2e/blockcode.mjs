// The block code in the simulator's pictures, a row of squares at the top left, black or white, that say channel
// and frame number: the twin of sim/src/blockcode.rs, which says how it is laid out.

/** Width of the pictures that carry the code, and the side of a square in them; scaled pictures read as well. */
export const WIDTH = 640;
export const SQUARE = 16;
export const SQUARES = 32;
const CHECK = 0xa5;

/** The code as 32 bits, most significant first. */
export function encode(channel, frame) {
  const bytes = [channel, frame >> 8, frame & 0xff, channel ^ (frame >> 8) ^ (frame & 0xff) ^ CHECK];
  return bytes.flatMap((byte) => Array.from({ length: 8 }, (_, n) => (byte >> (7 - n)) & 1));
}

/** Reads the code from the grey values of a picture `width` wide; null where there is none that is whole. */
export function decode(grey, width) {
  const scaled = (px) => Math.floor((px * width) / WIDTH);
  const bits = [];
  for (let n = 0; n < SQUARES; n++) {
    // The middle of the square: its rims are blurred by the codec.
    const [left, top] = [scaled(n * SQUARE + 5), scaled(5)];
    const [right, bottom] = [Math.max(left + 1, scaled(n * SQUARE + 11)), Math.max(top + 1, scaled(11))];
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) sum += grey[y * width + x] ?? NaN;
    }
    if (Number.isNaN(sum)) return null;
    bits.push(sum > 128 * (right - left) * (bottom - top) ? 1 : 0);
  }
  const byte = (place) => bits.slice(place * 8, place * 8 + 8).reduce((value, bit) => value * 2 + bit, 0);
  const [channel, frame] = [byte(0), byte(1) * 256 + byte(2)];
  return encode(channel, frame).every((bit, n) => bit === bits[n]) ? { channel, frame } : null;
}
