import { describe, expect, it } from "vitest";

import { COLUMNS, SQUARE, decode, encode } from "./blockcode.mjs";

const WIDTH = 640;

function picture(channel: number, frame: number, [black, white]: [number, number] = [16, 235]): number[] {
  const grey = Array.from({ length: WIDTH * 128 }, (_, n) => n % 251);
  encode(channel, frame).forEach((bit: number, n: number) => {
    for (let y = 0; y < SQUARE; y++) {
      for (let x = 0; x < SQUARE; x++) {
        grey[(Math.floor(n / COLUMNS) * SQUARE + y) * WIDTH + (n % COLUMNS) * SQUARE + x] = bit ? white : black;
      }
    }
  });
  return grey;
}

describe("the block code", () => {
  it("reads what was drawn", () => {
    for (const [channel, frame] of [[1, 0], [2, 1], [4, 65_535], [32, 123_456]]) {
      expect(decode(picture(channel as number, frame as number), WIDTH)).toEqual({ channel, frame });
      expect(decode(picture(channel as number, frame as number, [40, 210]), WIDTH)).toEqual({ channel, frame });
    }
  });

  it("reads nothing from other pictures", () => {
    expect(decode(Array.from({ length: WIDTH * 128 }, (_, n) => n % 251), WIDTH)).toBeNull();
    expect(decode(Array.from({ length: WIDTH * 128 }, () => 0), WIDTH)).toBeNull();
    expect(decode([], WIDTH)).toBeNull();
  });

  it("refuses a code with a wrong square", () => {
    const grey = picture(2, 1_000);
    const last = encode(2, 1_000).length - 1;
    for (const n of [5, 20, last]) {
      const spoilt = [...grey];
      const left = (n % COLUMNS) * SQUARE;
      const top = Math.floor(n / COLUMNS) * SQUARE;
      for (let y = 0; y < SQUARE; y++) {
        for (let x = 0; x < SQUARE; x++) {
          const at = (top + y) * WIDTH + left + x;
          spoilt[at] = 251 - (spoilt[at] as number);
        }
      }
      expect(decode(spoilt, WIDTH)).toBeNull();
    }
  });
});
