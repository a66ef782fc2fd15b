// The block code in the simulator's pictures: squares at the top left, black or white, that say channel and
// frame number. The layout is the simulator's (sim/src/blockcode.rs).

/** Side of a square, pixels of the coded picture. */
export const SQUARE = 16;
const FRAME_BITS = 24;
const CHANNEL_BITS = 8;
/** White, black, then channel, frame, check, all most significant bit first. */
export const SQUARES = 2 + CHANNEL_BITS + FRAME_BITS + 8;
/** Squares in a row. */
export const COLUMNS = 14;
export const ROWS = Math.ceil(SQUARES / COLUMNS);

export function encode(channel, frame) {
  const check = (channel ^ frame ^ (frame >> 8) ^ (frame >> 16)) & 0xff;
  return [1, 0, ...bits(channel, CHANNEL_BITS), ...bits(frame, FRAME_BITS), ...bits(check, 8)];
}

/** Reads the code from the grey values of a picture `width` wide; null where there is none that is whole. */
export function decode(grey, width) {
  const read = [];
  for (let n = 0; n < SQUARES; n++) {
    const x = ((n % COLUMNS) + 0.5) * SQUARE;
    const y = (Math.floor(n / COLUMNS) + 0.5) * SQUARE;
    const luma = grey[y * width + x];
    // A square between black and white is no square of ours.
    if (luma === undefined || (luma > 96 && luma < 160)) return null;
    read.push(luma >= 128 ? 1 : 0);
  }
  if (read[0] !== 1 || read[1] !== 0) return null;
  const channel = number(read.slice(2, 2 + CHANNEL_BITS));
  const frame = number(read.slice(2 + CHANNEL_BITS, 2 + CHANNEL_BITS + FRAME_BITS));
  return encode(channel, frame).every((bit, n) => bit === read[n]) ? { channel, frame } : null;
}

function bits(value, count) {
  return Array.from({ length: count }, (_, n) => (value >> (count - 1 - n)) & 1);
}

function number(list) {
  return list.reduce((value, bit) => value * 2 + bit, 0);
}
