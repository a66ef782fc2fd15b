// The wire types of the v1 API that the console uses, by its own names for them; their shapes come from the
// document. Knows nothing of how they are fetched.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Permission = Schemas["Permission"];
export type Tokens = Schemas["Tokens"];
export type Me = Schemas["Me"];
export type Company = Schemas["Company"];
export type Terminal = Schemas["Terminal"];
export type DeviceProfile = Schemas["DeviceProfile"];
export type NewDeviceProfile = Schemas["NewDeviceProfile"];
export type DeviceProfileChange = Schemas["DeviceProfileChange"];
export type RedirectForm = Schemas["RedirectForm"];
export type Vehicle = Schemas["Vehicle"];
export type Position = Schemas["Position"];
export type LatestPosition = Schemas["LatestPosition"];
export type Alarm = Schemas["AlarmRecord"];
export type PendingTerminal = Schemas["PendingTerminal"];
export type Approval = Schemas["Approval"];
export type Cluster = Schemas["Cluster"];
export type ClusterNode = Schemas["Node"];
export type NodeEvent = Schemas["NodeEvent"];
export type Profile = Schemas["Profile"];
export type LiveUrls = Schemas["LiveUrls"];
export type LiveStream = Schemas["Live"];
export type FleetEvent = Schemas["VehicleEvent"];

/** One page of a list; the document names each kind of its own. */
export interface Page<T> {
  items: T[];
  next_cursor?: string | null;
}

/** What the server tells the console at `/console-settings.json`; absent, the map stays offline. */
export interface ConsoleSettings {
  tiles?: { url: string; attribution?: string | null };
}
