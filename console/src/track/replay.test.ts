import { describe, expect, it } from "vitest";

import { report } from "../fleet/testing";
import { advance, Track } from "./replay";

const MINUTE = 60_000;

describe("a track", () => {
  const track = new Track([
    report(2 * MINUTE, 10.002, 50, { speed_kmh: 20, direction_deg: 10 }),
    report(MINUTE, 10.001, 50, { speed_kmh: 40, direction_deg: 350 }),
    report(MINUTE, 10.001, 50),
    report(3 * MINUTE, 0, 0),
    report(20 * MINUTE, 10.1, 50, { speed_kmh: 60 }),
    report(21 * MINUTE, 10.101, 50),
  ]);

  it("is in order, without doubles and places that are none", () => {
    expect(track.points.map(({ ms }) => ms / MINUTE)).toEqual([1, 2, 20, 21]);
    expect([track.start_ms, track.end_ms]).toEqual([MINUTE, 21 * MINUTE]);
  });

  it("is parted where nothing was heard", () => {
    expect(track.lines().map((line) => line.length)).toEqual([2, 2]);
    expect(track.distance_km).toBeCloseTo(2 * 0.0715, 2);
    expect(track.top_kmh).toBe(60);
  });

  it("knows the place between two reports, and turns the short way", () => {
    const half = track.moment(1.5 * MINUTE);
    expect(half?.longitude).toBeCloseTo(10.0015, 6);
    expect(half?.speed_kmh).toBe(30);
    expect((half?.direction ?? -1) % 360).toBeCloseTo(0, 6);
  });

  it("stays at the last known place in a gap", () => {
    expect(track.moment(10 * MINUTE)).toMatchObject({ longitude: 10.002, known: false });
  });

  it("holds to its ends", () => {
    expect(track.moment(0)?.longitude).toBe(10.001);
    expect(track.moment(99 * MINUTE)?.longitude).toBe(10.101);
  });

  it("tells speed over time", () => {
    expect(track.profile(4)).toEqual([40, null, null, 60]);
  });

  it("may be empty", () => {
    const empty = new Track([]);
    expect(empty.empty).toBe(true);
    expect(empty.moment(0)).toBeNull();
    expect(empty.lines()).toEqual([]);
  });

  it("is replayed at a speed, to its end and no further", () => {
    expect(advance(track, MINUTE, 1_000, 30)).toEqual({ ms: MINUTE + 30_000, ended: false });
    expect(advance(track, 20.9 * MINUTE, 1_000, 30)).toEqual({ ms: 21 * MINUTE, ended: true });
    expect(advance(track, 0, 0, 1)).toEqual({ ms: MINUTE, ended: false });
  });
});
