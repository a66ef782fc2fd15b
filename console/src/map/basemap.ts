// The offline base map: Natural Earth's countries (1:50 million) that ship with the console, and a grid of
// degrees that gets finer with the zoom, so that an empty city still shows scale and place.

import type { Feature, FeatureCollection, MultiLineString, Point } from "geojson";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import countriesUrl from "world-atlas/countries-50m.json?url";

export interface World {
  land: FeatureCollection;
  borders: Feature<MultiLineString>;
}

export async function loadWorld(): Promise<World> {
  const reply = await fetch(countriesUrl);
  if (!reply.ok) throw new Error(`base map: HTTP ${reply.status}`);
  const topology = (await reply.json()) as Topology<{ countries: GeometryCollection }>;
  const { countries } = topology.objects;
  return {
    land: feature(topology, countries) as FeatureCollection,
    borders: { type: "Feature", properties: {}, geometry: mesh(topology, countries, (a, b) => a !== b) },
  };
}

const STEPS_DEG = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002];
/** About this many lines cross the view. */
const LINES = 5;
const LINES_MAX = 60;

/** Lines of round degrees over the view, with what to write on them. */
export function grid(west: number, south: number, east: number, north: number): FeatureCollection {
  const span = Math.max(east - west, north - south);
  const step = STEPS_DEG.find((each) => span / each >= LINES) ?? 0.002;
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const features: Feature[] = [];
  const add = (coordinates: [number, number][], value: number, marks: string) => {
    const text = value === 0 ? "0°" : `${Math.abs(value).toFixed(digits)}° ${value > 0 ? marks[0] : marks[1]}`;
    features.push({ type: "Feature", properties: { text }, geometry: { type: "LineString", coordinates } });
  };
  const [bottom, top] = [Math.max(-85, south - step), Math.min(85, north + step)];
  for (let n = Math.floor(west / step), i = 0; n * step <= east && i < LINES_MAX; n++, i++) {
    add([[n * step, bottom], [n * step, top]], wrap(n * step), "EW");
  }
  for (let n = Math.ceil(bottom / step), i = 0; n * step <= top && i < LINES_MAX; n++, i++) {
    add([[west - step, n * step], [east + step, n * step]], n * step, "NS");
  }
  return { type: "FeatureCollection", features };
}

function wrap(longitude: number): number {
  return ((((longitude + 180) % 360) + 360) % 360) - 180;
}

export function point(lng: number, lat: number, properties: Record<string, string | number>): Feature<Point> {
  return { type: "Feature", properties, geometry: { type: "Point", coordinates: [lng, lat] } };
}

/** A place for each country's name: the middle of its largest ring's bounding box. */
export function namesOf(land: FeatureCollection): FeatureCollection {
  const features: Feature[] = [];
  for (const { geometry, properties } of land.features) {
    if (geometry.type !== "Polygon" && geometry.type !== "MultiPolygon") continue;
    const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
    let best: { area: number; lng: number; lat: number } | null = null;
    for (const [ring] of polygons) {
      const lngs = (ring ?? []).map(([lng]) => lng as number);
      const lats = (ring ?? []).map(([, lat]) => lat as number);
      const [west, east, south, north] = [Math.min(...lngs), Math.max(...lngs), Math.min(...lats), Math.max(...lats)];
      const area = (east - west) * (north - south);
      if (east - west < 180 && area > (best?.area ?? 0)) best = { area, lng: (west + east) / 2, lat: (south + north) / 2 };
    }
    if (best) {
      features.push(point(best.lng, best.lat, { name: String(properties?.["name"] ?? ""), rank: -best.area }));
    }
  }
  return { type: "FeatureCollection", features };
}
