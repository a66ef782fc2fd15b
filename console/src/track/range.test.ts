import { afterEach, describe, expect, it } from "vitest";

import { askable, local, PRESETS, startOfDay } from "./range";

const HOUR = 3_600_000;

describe("a range", () => {
  const zone = process.env["TZ"];
  afterEach(() => {
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  });

  it("of yesterday is the calendar's day, as long as the clocks make it", () => {
    process.env["TZ"] = "Europe/Berlin";
    // The clocks went forward on 29 March 2026.
    const { from, to } = PRESETS["track.yesterday"](new Date("2026-03-30T10:00:00+02:00"));
    expect(from.toISOString()).toBe("2026-03-28T23:00:00.000Z");
    expect(to.getTime() - from.getTime()).toBe(23 * HOUR);
    expect(startOfDay(new Date("2026-03-01T10:00:00+01:00"), -1).toISOString()).toBe("2026-02-27T23:00:00.000Z");
  });

  it("is asked for only where the server lists it", () => {
    const at = (hours: number) => new Date(hours * HOUR);
    expect(askable({ from: at(0), to: at(1) })).toBe(true);
    expect(askable({ from: at(0), to: at(31 * 24) })).toBe(true);
    expect(askable({ from: at(0), to: at(31 * 24 + 1) })).toBe(false);
    expect(askable({ from: at(1), to: at(1) })).toBe(false);
    expect(askable({ from: new Date(Number.NaN), to: at(1) })).toBe(false);
  });

  it("goes to the input and back unchanged, while a year is typed too", () => {
    for (const each of ["Asia/Shanghai", "America/St_Johns", "UTC"]) {
      process.env["TZ"] = each;
      for (const text of ["0002-07-05T01:02:03", "0202-12-31T23:59:59", "2026-11-22T00:00:00"]) {
        expect(local(new Date(text)), `${text} in ${each}`).toBe(text);
      }
    }
    expect(local(new Date(""))).toBe("");
  });
});
