// How the map looks: its sources and layers in both themes. Knows no vehicles, only the names of what they have.

import type { FeatureCollection } from "geojson";
import type { StyleSpecification, SymbolLayerSpecification } from "maplibre-gl";

import type { ConsoleSettings } from "../api/types";
import { PALETTES, type Theme } from "./palette";

/** Thousands of plates in one view are unreadable, and placing them takes seconds. */
export const LABELS = { vehicles: 1_000, small: 9, large: 14 };
export const NOTHING: FeatureCollection = { type: "FeatureCollection", features: [] };
/** Raster tile servers end here or later; closer, these are enlarged. */
const TILES_ZOOM_MAX = 19;
const FONT = ["sans-serif"];

export type Layer = StyleSpecification["layers"][number];

export function style(theme: Theme, tiles: ConsoleSettings["tiles"]): StyleSpecification {
  const geojson = (data: FeatureCollection = NOTHING, more: object = {}) => ({ type: "geojson" as const, data, ...more });
  return {
    version: 8,
    sources: {
      land: geojson(NOTHING, { tolerance: 0.2 }),
      borders: geojson(NOTHING, { tolerance: 0.2 }),
      countries: geojson(),
      grid: geojson(NOTHING, { tolerance: 0 }),
      trails: geojson(),
      track: geojson(),
      cursor: geojson(),
      vehicles: geojson(NOTHING, { maxzoom: 14, buffer: 64 }),
      ...(tiles
        ? {
            tiles: {
              type: "raster" as const,
              tiles: [tiles.url],
              tileSize: 256,
              maxzoom: TILES_ZOOM_MAX,
              attribution: escapeHtml(tiles.attribution ?? ""),
            },
          }
        : {}),
    },
    layers: layers(theme).flatMap((layer) =>
      layer.id === "trails" && tiles ? [{ id: "tiles", type: "raster" as const, source: "tiles" }, layer] : [layer],
    ),
  };
}

export function layers(theme: Theme): Layer[] {
  const c = PALETTES[theme];
  const plate: SymbolLayerSpecification["layout"] = {
    "text-field": ["get", "plate"],
    "text-font": FONT,
    "text-size": 12,
    "text-offset": [0, 1.5],
    "text-anchor": "top",
    "text-padding": 1,
  };
  return [
    { id: "water", type: "background", paint: { "background-color": c.water } },
    { id: "land", type: "fill", source: "land", paint: { "fill-color": c.land, "fill-outline-color": c.coast } },
    { id: "borders", type: "line", source: "borders", paint: { "line-color": c.border, "line-width": 0.8 } },
    { id: "grid", type: "line", source: "grid", paint: { "line-color": c.grid, "line-width": 1 } },
    {
      id: "grid-text",
      type: "symbol",
      source: "grid",
      minzoom: 5,
      layout: {
        "symbol-placement": "line",
        "symbol-spacing": 420,
        "text-field": ["get", "text"],
        "text-font": FONT,
        "text-size": 10,
        "text-offset": [0, -0.7],
        "text-max-angle": 5,
      },
      paint: { "text-color": c.gridText },
    },
    {
      id: "countries",
      type: "symbol",
      source: "countries",
      maxzoom: 7,
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT,
        "text-size": ["interpolate", ["linear"], ["zoom"], 2, 10, 6, 14],
        "text-max-width": 7,
        "symbol-sort-key": ["get", "rank"],
      },
      paint: { "text-color": c.gridText, "text-halo-color": c.land, "text-halo-width": 1.2 },
    },
    {
      id: "trails",
      type: "line",
      source: "trails",
      minzoom: 8,
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": c.trail, "line-width": ["interpolate", ["linear"], ["zoom"], 8, 1, 13, 3, 16, 7] },
    },
    {
      id: "track-casing",
      type: "line",
      source: "track",
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": c.trackCasing, "line-width": 7 },
    },
    {
      id: "track",
      type: "line",
      source: "track",
      layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": c.track, "line-width": 4 },
    },
    {
      id: "selected",
      type: "circle",
      source: "vehicles",
      filter: ["==", ["id"], -1],
      paint: {
        "circle-radius": 20,
        "circle-color": c.selected,
        "circle-opacity": 0.2,
        "circle-stroke-color": c.selected,
        "circle-stroke-width": 2,
      },
    },
    {
      id: "vehicles",
      type: "symbol",
      source: "vehicles",
      layout: {
        "icon-image": ["get", "state"],
        "icon-rotate": ["case", ["in", ["get", "state"], ["literal", ["moving", "alarm"]]], ["get", "heading"], 0],
        "icon-rotation-alignment": "map",
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
        "icon-size": ["interpolate", ["linear"], ["zoom"], 3, 0.5, 9, 0.8, 13, 1],
        "symbol-sort-key": ["match", ["get", "state"], "alarm", 3, "moving", 2, "stopped", 1, 0],
      },
      paint: {},
    },
    {
      id: "labels",
      type: "symbol",
      source: "vehicles",
      minzoom: LABELS.small,
      layout: { ...plate },
      paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.6 },
    },
    {
      id: "selected-label",
      type: "symbol",
      source: "vehicles",
      filter: ["==", ["id"], -1],
      layout: { ...plate, "text-size": 13, "text-offset": [0, 1.9], "text-allow-overlap": true },
      paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 2 },
    },
    {
      id: "cursor-ring",
      type: "circle",
      source: "cursor",
      paint: { "circle-radius": 17, "circle-color": c.track, "circle-opacity": 0.25 },
    },
    {
      id: "cursor",
      type: "symbol",
      source: "cursor",
      layout: {
        "icon-image": "moving",
        "icon-rotate": ["get", "heading"],
        "icon-rotation-alignment": "map",
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
      },
      paint: {},
    },
  ];
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
