// A track on a time axis: segments, place at a moment, sums. Pure; the clock is whoever asks.

import type { Position } from "../api/types";
import { at, placed } from "../fleet/state";

/** A longer silence parts the track: nobody knows what happened in between. */
const GAP_MS = 5 * 60_000;

export interface Moment {
  ms: number;
  longitude: number;
  latitude: number;
  direction: number;
  speed_kmh: number;
  /** False in a gap: the place is the last known one. */
  known: boolean;
}

interface Point extends Omit<Moment, "known"> {
  /** A gap lies before this point. */
  first: boolean;
}

export class Track {
  readonly points: Point[];
  readonly distance_km: number;
  readonly top_kmh: number;

  constructor(positions: readonly Position[]) {
    const sorted = positions
      .filter(placed)
      .map((position) => ({ position, ms: at(position) }))
      .sort((a, b) => a.ms - b.ms);
    this.points = [];
    let distance = 0;
    let top = 0;
    for (const { position, ms } of sorted) {
      const before = this.points.at(-1);
      if (before?.ms === ms) continue;
      const point: Point = {
        ms,
        longitude: position.longitude,
        latitude: position.latitude,
        direction: position.direction_deg,
        speed_kmh: position.speed_kmh,
        first: !before || ms - before.ms > GAP_MS,
      };
      if (before && !point.first) distance += kilometres(before, point);
      top = Math.max(top, point.speed_kmh);
      this.points.push(point);
    }
    this.distance_km = distance;
    this.top_kmh = top;
  }

  get empty(): boolean {
    return this.points.length === 0;
  }

  get start_ms(): number {
    return this.points[0]?.ms ?? 0;
  }

  get end_ms(): number {
    return this.points.at(-1)?.ms ?? 0;
  }

  /** Lines of [longitude, latitude], parted at gaps. */
  lines(): [number, number][][] {
    const lines: [number, number][][] = [];
    for (const point of this.points) {
      if (point.first) lines.push([]);
      lines.at(-1)?.push([point.longitude, point.latitude]);
    }
    return lines;
  }

  /** Where the vehicle was at `ms`, between two reports on the straight line; held to the ends. */
  moment(ms: number): Moment | null {
    const next = this.after(ms);
    const before = this.points[next - 1];
    const after = this.points[next];
    if (!before) return after ? { ...strip(after), known: true } : null;
    if (!after || before.ms === ms) return { ...strip(before), known: true };
    if (after.first) return { ...strip(before), ms, speed_kmh: 0, known: false };
    const share = (ms - before.ms) / (after.ms - before.ms);
    const turn = ((after.direction - before.direction + 540) % 360) - 180;
    return {
      ms,
      longitude: before.longitude + (after.longitude - before.longitude) * share,
      latitude: before.latitude + (after.latitude - before.latitude) * share,
      direction: (before.direction + turn * share + 360) % 360,
      speed_kmh: before.speed_kmh + (after.speed_kmh - before.speed_kmh) * share,
      known: true,
    };
  }

  /** The top speed of each of `buckets` equal parts of the time; null where nothing was reported. */
  profile(buckets: number): (number | null)[] {
    const out: (number | null)[] = Array.from({ length: buckets }, () => null);
    const span = this.end_ms - this.start_ms || 1;
    for (const point of this.points) {
      const place = Math.min(buckets - 1, Math.floor(((point.ms - this.start_ms) / span) * buckets));
      out[place] = Math.max(out[place] ?? 0, point.speed_kmh);
    }
    return out;
  }

  /** Index of the first point later than `ms`. */
  private after(ms: number): number {
    let low = 0;
    let high = this.points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.points[middle] as Point).ms <= ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** The moment after `elapsed_ms` of watching at `speed`, and whether the end is reached. */
export function advance(track: Track, from_ms: number, elapsed_ms: number, speed: number): { ms: number; ended: boolean } {
  const ms = Math.max(from_ms, track.start_ms) + elapsed_ms * speed;
  return ms >= track.end_ms ? { ms: track.end_ms, ended: true } : { ms, ended: false };
}

function strip({ first: _, ...point }: Point): Omit<Moment, "known"> {
  return point;
}

function kilometres(a: Point, b: Point): number {
  const rad = Math.PI / 180;
  const x = (b.longitude - a.longitude) * rad * Math.cos(((a.latitude + b.latitude) / 2) * rad);
  const y = (b.latitude - a.latitude) * rad;
  return Math.hypot(x, y) * 6371;
}
