// Reports and vehicles for tests.

import type { Position, Vehicle } from "../api/types";

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

/** A vehicle with one terminal, whose key is 100 more. */
export function carried(id: number, company_id: number, plate: string, online: boolean): Vehicle {
  const created_at = "2026-01-01T00:00:00Z";
  const terminal = {
    id: id + 100,
    sim: `1390000000${id}`,
    device_no: `D${id}`,
    company_id,
    vehicle_id: id,
    maker: "70111",
    model: "MDVR-8",
    terminal_no: "A1",
    online,
    created_at,
    channels: [],
  };
  return { id, company_id, plate, plate_colour: "blue", created_at, terminals: [terminal] };
}
