// The map itself, free of the user interface: one source for all vehicles, changed by differences; trails,
// a track with its cursor, the selection. No DOM element per vehicle.

import type { Feature, FeatureCollection, Point } from "geojson";
import {
  Map as MapLibre,
  LngLatBounds,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type GeoJSONSourceDiff,
  type StyleSpecification,
  type SymbolLayerSpecification,
} from "maplibre-gl";
import "maplibre-gl/dist/maplibre-gl.css";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";

import type { ConsoleSettings } from "../api/types";
import { placed, stateOf, type State, type VehicleState } from "../fleet/state";
import type { Moment, Track } from "../track/replay";
import { grid, loadWorld } from "./basemap";
import { ICON_RATIO, vehicleIcon } from "./icons";
import { PALETTES, type Theme } from "./palette";

setWorkerUrl(workerUrl);

/** Trails of a larger fleet would be a carpet. */
const TRAILS_MAX_VEHICLES = 600;
/** Thousands of plates in one view are unreadable, and placing them takes seconds. */
const LABELS = { vehicles: 1_000, small: 9, large: 14 };
const TRAILS_EVERY_MS = 1_000;
const STATES: State[] = ["alarm", "moving", "stopped", "offline"];
const FONT = ["sans-serif"];
const NOTHING: FeatureCollection = { type: "FeatureCollection", features: [] };

export interface Drawn {
  id: number;
  plate: string;
  lng: number;
  lat: number;
}

export class FleetMap {
  private readonly map: MapLibre;
  private readonly drawn = new Map<number, Drawn>();
  private readonly waiting = new Map<number, VehicleState | undefined>();
  private selected: number | null = null;
  private following = false;
  private loaded = false;
  private writing = false;
  /** Until a person moves the map or picks a vehicle, it shows whatever vehicles there are. */
  private untouched = true;
  private trailsAt = 0;
  private trails: () => Iterable<VehicleState> = () => [];
  private track: Track | null = null;

  constructor(
    container: HTMLElement,
    private theme: Theme,
    tiles: ConsoleSettings["tiles"],
    private readonly hooks: { onPick: (id: number) => void; onUnfollow: () => void },
  ) {
    this.map = new MapLibre({
      container,
      style: style(theme, tiles),
      center: [105, 30],
      zoom: 2,
      minZoom: 1,
      maxZoom: 19,
      fadeDuration: 0,
      attributionControl: tiles ? { compact: true } : false,
      dragRotate: false,
      pitchWithRotate: false,
      renderWorldCopies: true,
      localIdeographFontFamily: "system-ui, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif",
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-left");
    for (const state of STATES) {
      this.map.once("styledata", () => {
        if (!this.map.hasImage(state)) this.map.addImage(state, vehicleIcon(state), { pixelRatio: ICON_RATIO });
      });
    }
    this.map.on("load", () => {
      this.loaded = true;
      this.drawGrid();
      this.drawSelection();
      this.drawTrack();
      this.write();
    });
    this.map.on("moveend", () => this.drawGrid());
    this.map.on("dragstart", () => this.hooks.onUnfollow());
    this.map.on("movestart", ({ originalEvent }) => {
      if (originalEvent) this.untouched = false;
    });
    this.map.on("click", "vehicles", (event) => {
      const id = event.features?.[0]?.id;
      if (typeof id === "number") this.hooks.onPick(id);
    });
    this.map.on("mouseenter", "vehicles", () => (this.map.getCanvas().style.cursor = "pointer"));
    this.map.on("mouseleave", "vehicles", () => (this.map.getCanvas().style.cursor = ""));
    void loadWorld().then(
      ({ land, borders }) => {
        const set = () => {
          this.source("land")?.setData(land);
          this.source("borders")?.setData(borders);
          this.source("countries")?.setData(namesOf(land));
        };
        if (this.loaded) set();
        else this.map.once("load", set);
      },
      // Without it the map still shows grid and vehicles.
      (error: unknown) => console.warn("base map", error),
    );
  }

  remove(): void {
    this.map.remove();
  }

  /** What is on the map now. */
  vehicles(): Drawn[] {
    return [...this.drawn.values()].map((each) => ({ ...each }));
  }

  /** Takes the new states of `changed`; undefined removes. Drawn as soon as the worker is done with the last. */
  update(changed: Iterable<number>, find: (id: number) => VehicleState | undefined): void {
    for (const id of changed) this.waiting.set(id, find(id));
    this.write();
  }

  /** Where the trails come from; drawn once a second. */
  setTrails(states: () => Iterable<VehicleState>): void {
    this.trails = states;
  }

  select(id: number | null, follow: boolean): void {
    this.following = follow;
    if (this.selected === id) {
      if (follow) this.keepInView(true);
      return;
    }
    this.selected = id;
    this.untouched &&= id === null;
    this.drawSelection();
    this.keepInView(true);
  }

  fit(): void {
    const bounds = new LngLatBounds();
    for (const { lng, lat } of this.drawn.values()) bounds.extend([lng, lat]);
    if (!bounds.isEmpty()) this.map.fitBounds(bounds, { padding: 70, maxZoom: 15, duration: 600 });
  }

  zoom(by: 1 | -1): void {
    this.untouched = false;
    this.map.zoomTo(this.map.getZoom() + by, { duration: 250 });
  }

  setTheme(theme: Theme): void {
    if (theme === this.theme) return;
    this.theme = theme;
    const apply = () => {
      for (const layer of layers(theme)) {
        for (const [name, value] of Object.entries(layer.paint ?? {})) {
          this.map.setPaintProperty(layer.id, name as PaintName, value);
        }
      }
    };
    if (this.loaded) apply();
    else this.map.once("load", apply);
  }

  showTrack(track: Track | null): void {
    this.track = track && !track.empty ? track : null;
    this.drawTrack();
    if (!this.track) return;
    const bounds = new LngLatBounds();
    for (const { longitude, latitude } of this.track.points) bounds.extend([longitude, latitude]);
    this.hooks.onUnfollow();
    this.map.fitBounds(bounds, { padding: 70, maxZoom: 16, duration: 600 });
  }

  showMoment(moment: Moment | null): void {
    if (!this.loaded) return;
    this.source("cursor")?.setData(
      moment ? point(moment.longitude, moment.latitude, { heading: moment.direction }) : NOTHING,
    );
    if (moment && !this.map.getBounds().contains([moment.longitude, moment.latitude])) {
      this.map.easeTo({ center: [moment.longitude, moment.latitude], duration: 300 });
    }
  }

  private source(name: string): GeoJSONSource | undefined {
    return this.map.getSource<GeoJSONSource>(name);
  }

  private drawSelection(): void {
    if (!this.loaded) return;
    const id = this.selected ?? -1;
    for (const layer of ["selected", "selected-label"]) this.map.setFilter(layer, ["==", ["id"], id]);
    this.map.setFilter("labels", ["!=", ["id"], id]);
  }

  private drawGrid(): void {
    if (!this.loaded) return;
    const bounds = this.map.getBounds();
    this.source("grid")?.setData(grid(bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()));
  }

  private drawTrack(): void {
    if (!this.loaded) return;
    this.source("track")?.setData(
      this.track
        ? {
            type: "Feature",
            properties: {},
            geometry: { type: "MultiLineString", coordinates: this.track.lines().filter((line) => line.length > 1) },
          }
        : NOTHING,
    );
    if (!this.track) this.source("cursor")?.setData(NOTHING);
    this.map.setLayoutProperty("trails", "visibility", this.track ? "none" : "visible");
  }

  private drawTrails(): void {
    const now = performance.now();
    if (now - this.trailsAt < TRAILS_EVERY_MS) return;
    this.trailsAt = now;
    const features: Feature[] = [];
    if (this.drawn.size <= TRAILS_MAX_VEHICLES) {
      for (const { trail } of this.trails()) {
        if (trail.length < 2) continue;
        features.push({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: [...trail] } });
      }
    }
    this.source("trails")?.setData({ type: "FeatureCollection", features });
  }

  private write(): void {
    if (!this.loaded || this.writing || this.waiting.size === 0) return;
    const source = this.source("vehicles");
    if (!source) return;
    const diff: Required<Pick<GeoJSONSourceDiff, "add" | "update" | "remove">> = { add: [], update: [], remove: [] };
    for (const [id, state] of this.waiting) {
      const position = state?.position ?? null;
      if (!state || !placed(position)) {
        if (this.drawn.delete(id)) diff.remove.push(id);
        continue;
      }
      const { longitude: lng, latitude: lat } = position;
      const properties = { plate: state.vehicle.plate, state: stateOf(state), heading: position.direction_deg };
      if (this.drawn.has(id)) {
        diff.update.push({
          id,
          newGeometry: { type: "Point", coordinates: [lng, lat] },
          addOrUpdateProperties: Object.entries(properties).map(([key, value]) => ({ key, value })),
        });
      } else {
        diff.add.push({ ...point(lng, lat, properties), id });
      }
      this.drawn.set(id, { id, plate: state.vehicle.plate, lng, lat });
    }
    this.waiting.clear();
    this.writing = true;
    void Promise.resolve(source.updateData(diff))
      .catch((error: unknown) => console.warn("map", error))
      .finally(() => {
        this.writing = false;
        this.write();
      });
    this.drawTrails();
    const minzoom = this.drawn.size > LABELS.vehicles ? LABELS.large : LABELS.small;
    if (this.map.getLayer("labels")?.minzoom !== minzoom) this.map.setLayerZoomRange("labels", minzoom, 24);
    const shown = diff.add.some(({ id }) => id === this.selected);
    if (this.untouched && diff.add.length) this.fit();
    else if (this.following || shown) this.keepInView(shown);
  }

  private keepInView(approach: boolean): void {
    const drawn = this.selected === null ? undefined : this.drawn.get(this.selected);
    if (!drawn || this.track) return;
    const center: [number, number] = [drawn.lng, drawn.lat];
    if (approach) this.map.flyTo({ center, zoom: Math.max(this.map.getZoom(), 13), duration: 800 });
    else if (!this.map.isMoving()) this.map.easeTo({ center, duration: 500 });
  }
}

function point(lng: number, lat: number, properties: Record<string, string | number>): Feature<Point> {
  return { type: "Feature", properties, geometry: { type: "Point", coordinates: [lng, lat] } };
}

/** A place for each country's name: the middle of its largest ring's bounding box. */
function namesOf(land: FeatureCollection): FeatureCollection {
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

function style(theme: Theme, tiles: ConsoleSettings["tiles"]): StyleSpecification {
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
              maxzoom: tiles.max_zoom ?? 19,
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

type Layer = StyleSpecification["layers"][number];
type PaintName = Parameters<MapLibre["setPaintProperty"]>[1];

function layers(theme: Theme): Layer[] {
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
