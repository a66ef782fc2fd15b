// What a vehicle looks like at a glance, from its latest report. Pure.

import type { LatestPosition, Position, Vehicle } from "../api/types";

/** Below this a satellite receiver at rest just drifts. */
const MOVING_KMH = 2;
/** A vehicle remembers this many of its last places, to be drawn behind it. */
export const TRAIL_MAX = 480;
/** A longer jump between two reports is no driving: the trail starts anew. */
const TRAIL_JUMP_DEG = 0.03;

export type State = "alarm" | "moving" | "stopped" | "offline";

export interface VehicleState {
  vehicle: Vehicle;
  online: boolean;
  lastSeen: string | null;
  position: Position | null;
  /** [longitude, latitude] of the latest places, oldest first. */
  trail: [number, number][];
}

export function at(position: Position): number {
  return Date.parse(position.device_time ?? position.received_at);
}

export function stateOf(state: VehicleState): State {
  if (!state.online) return "offline";
  if (state.position?.alarms.length) return "alarm";
  return (state.position?.speed_kmh ?? 0) >= MOVING_KMH ? "moving" : "stopped";
}

/** Status bit 1 of JT/T 808: the coordinates come from a fix. */
export function located(position: Position): boolean {
  return (position.status & 2) !== 0;
}

/** Status bit 0 of JT/T 808. */
export function ignition(position: Position): boolean {
  return (position.status & 1) !== 0;
}

/** Whether there is a place to draw: terminals without any fix say 0, 0. */
export function placed(position: Position | null): position is Position {
  return position !== null && (position.latitude !== 0 || position.longitude !== 0);
}

export function fromVehicle(vehicle: Vehicle, before?: VehicleState): VehicleState {
  return {
    vehicle,
    online: vehicle.terminals.some((terminal) => terminal.online),
    lastSeen: before?.lastSeen ?? null,
    position: before?.position ?? null,
    trail: before?.trail ?? [],
  };
}

/**
 * What says which report is the latest, as the server says it: the device's time, where a clock that runs ahead
 * counts as its report's arrival (else one report of tomorrow would hide all of today's), then the arrival.
 */
function recency(position: Position): [number, number] {
  const received = Date.parse(position.received_at);
  return [Math.min(at(position), received), received];
}

/** Takes `position` unless a newer one is known: resends arrive late. */
export function withPosition(state: VehicleState, position: Position): boolean {
  if (state.position) {
    const [mine, known] = [recency(position), recency(state.position)];
    if (mine[0] < known[0] || (mine[0] === known[0] && mine[1] < known[1])) return false;
  }
  state.position = position;
  if (!state.lastSeen || position.received_at > state.lastSeen) state.lastSeen = position.received_at;
  lengthen(state, position);
  return true;
}

/** Puts the trail of `track`, rising, behind the vehicle. */
export function withTrail(state: VehicleState, track: readonly Position[]): void {
  state.trail = [];
  for (const position of track) lengthen(state, position);
  if (state.position) lengthen(state, state.position);
}

function lengthen(state: VehicleState, position: Position): void {
  if (!placed(position)) return;
  const last = state.trail.at(-1);
  const jump = last
    ? Math.max(Math.abs(last[0] - position.longitude), Math.abs(last[1] - position.latitude))
    : Infinity;
  if (jump > TRAIL_JUMP_DEG) state.trail = [];
  if (jump > 0) state.trail.push([position.longitude, position.latitude]);
  if (state.trail.length > TRAIL_MAX) state.trail.splice(0, state.trail.length - TRAIL_MAX);
}

/** A vehicle with several terminals shows the newest report of them. */
export function withLatest(state: VehicleState, latest: LatestPosition): void {
  setOnline(state, latest.terminal_id, latest.online);
  if (latest.last_seen_at && (!state.lastSeen || latest.last_seen_at > state.lastSeen)) {
    state.lastSeen = latest.last_seen_at;
  }
  if (latest.position) withPosition(state, latest.position);
}

export function setOnline(state: VehicleState, terminal: number, online: boolean): void {
  const known = state.vehicle.terminals.find(({ id }) => id === terminal);
  if (known) known.online = online;
  state.online = state.vehicle.terminals.some((each) => each.online);
}
