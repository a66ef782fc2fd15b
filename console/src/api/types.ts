// The wire types of the v1 API that the console uses, in one place.
// Knows nothing of how they are fetched.

export type Permission = "view" | "live" | "handle_alarms" | "manage_vehicles" | "manage_accounts";

export interface Tokens {
  access_token: string;
  expires_in_s: number;
  refresh_token: string;
  must_change_password: boolean;
}

export interface Me {
  account: { id: number; name: string; company_id: number };
  permissions: Permission[];
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
  total?: number;
}

export interface Company {
  id: number;
  name: string;
  parent_id: number | null;
}

export interface Channel {
  number: number;
  name: string;
}

export interface Terminal {
  id: number;
  sim: string;
  device_no: string;
  online: boolean;
  channels: Channel[];
}

export interface Vehicle {
  id: number;
  company_id: number;
  plate: string;
  plate_colour: string;
  terminals: Terminal[];
  created_at: string;
}

export interface Position {
  terminal: number;
  /** By the terminal's clock; null where that said something impossible. */
  device_time: string | null;
  received_at: string;
  latitude: number;
  longitude: number;
  altitude_m: number;
  speed_kmh: number;
  /** 0 north, clockwise. */
  direction_deg: number;
  status: number;
  alarms: string[];
  mileage_km?: number | null;
  fuel_l?: number | null;
  recorder_speed_kmh?: number | null;
  signal?: number | null;
  satellites?: number | null;
}

export interface LatestPosition {
  terminal_id: number;
  /** Null for a terminal in stock. */
  vehicle_id: number | null;
  plate: string | null;
  online: boolean;
  last_seen_at: string | null;
  position: Position | null;
}

export interface Handling {
  note: string;
  handled_at: string;
  handled_by: number | null;
  handled_by_name: string | null;
}

export interface Alarm {
  id: string;
  terminal: number;
  /** The vehicle that carries the terminal now. */
  vehicle_id: number | null;
  plate: string | null;
  kind: string;
  start: string;
  end: string | null;
  confirmed: boolean;
  latitude: number;
  longitude: number;
  speed_kmh: number;
  handling: Handling | null;
}

export interface PendingTerminal {
  sim: string;
  plate: string;
  manufacturer: string;
  model: string;
  terminal_no: string;
  edition: number | null;
  peer: string;
  first_seen_at: string;
  last_seen_at: string;
  attempts: number;
}

export interface Approval {
  company_id: number;
  plate?: string;
  vehicle_id?: number;
}

export type Profile = "main" | "sub";

export interface LiveUrls {
  http_flv: string;
  ws_flv: string;
  hls: string;
}

export interface LiveStream {
  stream: string;
  expires_at: string;
  urls: LiveUrls;
  av: { audio_codec: string | null; video_codec: string | null } | null;
}

export type FleetEvent =
  | ({ type: "position"; vehicle_id: number | null } & Position)
  | { type: "alarm"; vehicle_id: number | null; change: "started" | "ended" | "superseded" }
  | { type: "presence"; vehicle_id: number | null; terminal: number; presence: "online" | "offline" };

/** What the server tells the console at `/console-settings.json`; absent, the map stays offline. */
export interface ConsoleSettings {
  tiles?: { url: string; attribution?: string | null; max_zoom?: number };
}
