import { describe, expect, it } from "vitest";

import { grid, namesOf } from "./basemap";

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

describe("a country's name", () => {
  it("stands in the middle of its largest part", () => {
    const square = (west: number, side: number) => [[[west, 0], [west + side, 0], [west + side, side], [west, side], [west, 0]]];
    const coordinates = [square(0, 1), square(50, 10), square(-170, 200)];
    const { features } = namesOf({
      type: "FeatureCollection",
      features: [{ type: "Feature", properties: { name: "Isles" }, geometry: { type: "MultiPolygon", coordinates } }],
    });
    expect(features).toMatchObject([{ properties: { name: "Isles" }, geometry: { coordinates: [55, 5] } }]);
  });
});
