import { describe, expect, it } from "vitest";

import type { ClusterNode } from "../api/types";
import { clockOff_s, percent, statesOf } from "./state";

function node(change: Partial<ClusterNode>, clock_offset_ms = 0): ClusterNode {
  const sighting = { clock_offset_ms, clock_right: Math.abs(clock_offset_ms) <= 10_000 } as ClusterNode["sighting"];
  return { leads: false, draining: false, seen: true, sighting, ...change } as ClusterNode;
}

describe("a node's state", () => {
  it("is serving unless something hinders it", () => {
    expect(statesOf(node({}))).toEqual(["serving"]);
    expect(statesOf(node({ leads: true }))).toEqual(["leader", "serving"]);
    expect(statesOf(node({ draining: true }))).toEqual(["draining"]);
    expect(statesOf(node({ seen: false, sighting: null }))).toEqual(["unseen"]);
  });

  it("is all that holds at once", () => {
    expect(statesOf(node({ leads: true, draining: true, seen: false }, -12_340))).toEqual(["leader", "unseen", "clock", "draining"]);
  });

  it("tells by how much a clock is off, either way", () => {
    expect([12_340, -12_340, 49].map((ms) => clockOff_s(node({}, ms)))).toEqual([12.3, -12.3, 0]);
    expect(clockOff_s(node({ sighting: null }))).toBe(0);
  });

  it("is no percent of nothing", () => {
    expect([percent(1, 3), percent(0, 5), percent(7, 0)]).toEqual([33, 0, null]);
  });
});
