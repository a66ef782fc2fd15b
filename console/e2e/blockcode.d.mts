// The types of blockcode.mjs, for its test.

export const WIDTH: number;
export const SQUARE: number;
export const SQUARES: number;
export function encode(channel: number, frame: number): number[];
export function decode(grey: ArrayLike<number>, width: number): { channel: number; frame: number } | null;
