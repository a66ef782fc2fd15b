import { describe, expect, it } from "vitest";

import { SQUARE, WIDTH, decode, encode } from "./blockcode.mjs";

const ROWS = 32;

function picture(channel: number, frame: number, [black, white]: [number, number] = [16, 235]): number[] {
  const grey = Array.from({ length: WIDTH * ROWS }, () => 90);
  encode(channel, frame).forEach((bit, n) => {
    for (let y = 0; y < SQUARE; y++) grey.fill(bit ? white : black, y * WIDTH + n * SQUARE, y * WIDTH + (n + 1) * SQUARE);
  });
  return grey;
}

describe("the block code", () => {
  it("is the simulator's", () => {
    // channel, frame, and the exclusive or of both with 0xa5
    expect(encode(3, 0x012b).join("")).toBe("00000011" + "00000001" + "00101011" + "10001100");
  });

  it("reads what was drawn", () => {
    for (const [channel, frame] of [[1, 0], [3, 299], [255, 65_535], [8, 0x1234]] as const) {
      expect(decode(picture(channel, frame), WIDTH)).toEqual({ channel, frame });
      expect(decode(picture(channel, frame, [50, 200]), WIDTH)).toEqual({ channel, frame });
    }
  });

  it("reads a picture of half the size", () => {
    const whole = picture(2, 77);
    const half = Array.from({ length: (WIDTH / 2) * (ROWS / 2) }, (_, n) => {
      const [x, y] = [n % (WIDTH / 2), Math.floor(n / (WIDTH / 2))];
      return whole[y * 2 * WIDTH + x * 2] as number;
    });
    expect(decode(half, WIDTH / 2)).toEqual({ channel: 2, frame: 77 });
  });

  it("reads nothing from other pictures", () => {
    for (const grey of [0, 90, 255]) expect(decode(Array.from({ length: WIDTH * ROWS }, () => grey), WIDTH)).toBeNull();
    expect(decode([], WIDTH)).toBeNull();
  });

  it("refuses a code with a wrong square", () => {
    for (let n = 0; n < 32; n++) {
      const grey = picture(2, 1_000);
      const value = grey[n * SQUARE] === 16 ? 235 : 16;
      for (let y = 0; y < SQUARE; y++) grey.fill(value, y * WIDTH + n * SQUARE, y * WIDTH + (n + 1) * SQUARE);
      expect(decode(grey, WIDTH)).toBeNull();
    }
  });
});
