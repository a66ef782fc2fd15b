// Reports for tests.

import type { Position } from "../api/types";

/** A report at `ms` since the epoch. */
export function report(ms: number, longitude: number, latitude: number, more: Partial<Position> = {}): Position {
  const time = new Date(ms).toISOString();
  return {
    terminal: 101,
    device_time: time,
    received_at: time,
    latitude,
    longitude,
    altitude_m: 0,
    speed_kmh: 0,
    direction_deg: 0,
    status: 3,
    alarms: [],
    ...more,
  };
}
