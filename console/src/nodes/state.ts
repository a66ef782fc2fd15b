// How a node is, at a glance and in numbers. Pure.

import type { ClusterNode } from "../api/types";

export type NodeState = "leader" | "serving" | "draining" | "unseen" | "clock";

/** All that holds of it: who leads may drain, who drains may be out of sight. */
export function statesOf(node: ClusterNode): NodeState[] {
  const hindered: NodeState[] = [];
  if (!node.seen) hindered.push("unseen");
  if (node.sighting && !node.sighting.clock_right) hindered.push("clock");
  if (node.draining) hindered.push("draining");
  const states: NodeState[] = hindered.length ? hindered : ["serving"];
  return node.leads ? ["leader", ...states] : states;
}

/** Seconds by which its clock is off, with a tenth. */
export function clockOff_s(node: ClusterNode): number {
  return Math.round((node.sighting?.clock_offset_ms ?? 0) / 100) / 10;
}

/** Whole percent; null where the whole is not known. */
export function percent(part: number, whole: number): number | null {
  return whole > 0 ? Math.round((part / whole) * 100) : null;
}
