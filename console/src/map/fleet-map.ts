// The map itself, free of the user interface: one source for all vehicles, changed by differences; trails,
// a track with its cursor, the selection. No DOM element per vehicle.

import type { Feature } from "geojson";
import {
  Map as MapLibre,
  LngLatBounds,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type GeoJSONSourceDiff,
} from "maplibre-gl";
import "maplibre-gl/dist/maplibre-gl.css";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";

import type { ConsoleSettings } from "../api/types";
import { placed, stateOf, type State, type VehicleState } from "../fleet/state";
import type { Moment, Track } from "../track/replay";
import { grid, loadWorld, namesOf, point, type World } from "./basemap";
import { ICON_RATIO, vehicleIcon } from "./icons";
import type { Theme } from "./palette";
import { LABELS, layers, NOTHING, style } from "./style";

setWorkerUrl(workerUrl);

/** Trails of a larger fleet would be a carpet. */
const TRAILS_MAX_VEHICLES = 600;
const TRAILS_EVERY_MS = 1_000;
const STATES: State[] = ["alarm", "moving", "stopped", "offline"];

type PaintName = Parameters<MapLibre["setPaintProperty"]>[1];

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
  private states: () => Iterable<VehicleState> = () => [];
  private track: Track | null = null;
  private world: World | null = null;

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
    // Not "load", which waits for the first tiles: a tile server that hangs must not hide the fleet.
    this.map.on("style.load", () => this.begin());
    this.map.on("webglcontextlost", () => (this.loaded = false));
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
      (world) => {
        this.world = world;
        this.drawWorld();
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

  /** Where the trails come from, drawn once a second, and all vehicles where the map has to begin anew. */
  setStates(states: () => Iterable<VehicleState>): void {
    this.states = states;
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
    this.paint();
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
    // A movement that runs is let finish: begun anew with every picture it would never arrive.
    if (moment && !this.map.isMoving() && !this.map.getBounds().contains([moment.longitude, moment.latitude])) {
      this.map.easeTo({ center: [moment.longitude, moment.latitude], duration: 300 });
    }
  }

  private source(name: string): GeoJSONSource | undefined {
    return this.map.getSource<GeoJSONSource>(name);
  }

  /** Draws everything: at the start, and after the browser took the drawing context away and gave a new one. */
  private begin(): void {
    this.loaded = true;
    for (const state of STATES) {
      if (!this.map.hasImage(state)) this.map.addImage(state, vehicleIcon(state), { pixelRatio: ICON_RATIO });
    }
    this.paint();
    this.drawWorld();
    this.drawGrid();
    this.drawSelection();
    this.drawTrack();
    if (this.drawn.size) this.source("vehicles")?.setData(NOTHING);
    this.drawn.clear();
    for (const state of this.states()) this.waiting.set(state.vehicle.id, state);
    this.writing = false;
    this.write();
  }

  private paint(): void {
    if (!this.loaded) return;
    for (const layer of layers(this.theme)) {
      for (const [name, value] of Object.entries(layer.paint ?? {})) {
        this.map.setPaintProperty(layer.id, name as PaintName, value);
      }
    }
  }

  private drawWorld(): void {
    if (!this.loaded || !this.world) return;
    const { land, borders } = this.world;
    this.source("land")?.setData(land);
    this.source("borders")?.setData(borders);
    this.source("countries")?.setData(namesOf(land));
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
      for (const { trail } of this.states()) {
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
