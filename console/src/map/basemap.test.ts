import { describe, expect, it } from "vitest";

import { grid } from "./basemap";

function texts(...view: [number, number, number, number]): string[] {
  return grid(...view).features.map(({ properties }) => String(properties?.["text"]));
}

describe("the grid of degrees", () => {
  it("is round, named and few at every zoom", () => {
    expect(texts(-180, -80, 180, 80)).toContain("0°");
    expect(texts(116.3, 39.8, 116.5, 40)).toContain("116.40° E");
    for (const span of [360, 90, 10, 1, 0.1, 0.01, 0.001]) {
      const lines = texts(10, 10, 10 + span, 10 + span / 2);
      expect(lines.length).toBeLessThan(90);
    }
  });

  it("wraps around the date line", () => {
    expect(texts(175, -5, 185, 5)).toContain("178° W");
  });
});
