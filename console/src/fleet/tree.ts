// The vehicle tree: companies over vehicles, filtered, flattened to the rows that a list draws. Pure.

import type { Company } from "../api/types";
import type { VehicleState } from "./state";

export type Row =
  | { kind: "company"; id: number; name: string; depth: number; open: boolean; online: number; total: number }
  | { kind: "vehicle"; id: number; depth: number; state: VehicleState };

export interface TreeQuery {
  text: string;
  onlineOnly: boolean;
  closed: ReadonlySet<number>;
}

/** What the tree needs to know of a company. */
export type Branch = Pick<Company, "id" | "name" | "parent_id">;

interface Node {
  company: Branch;
  children: Node[];
  vehicles: VehicleState[];
}

/** Vehicles of a company that the account cannot see hang under this one. */
const UNKNOWN_COMPANY = 0;

/**
 * Rows from top to bottom; `vehicles` come in the order in which they are listed. A search opens every company
 * that has a match and hides the others.
 */
export function rows(
  companies: readonly Branch[],
  vehicles: Iterable<VehicleState>,
  query: TreeQuery,
  unknown: string,
): Row[] {
  const nodes = new Map<number, Node>();
  for (const company of companies) nodes.set(company.id, { company, children: [], vehicles: [] });
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = parentOf(nodes, node.company);
    (parent && !reaches(nodes, node) ? parent.children : roots).push(node);
  }
  let lost: Node | undefined;
  const wanted = matcher(query);
  for (const state of vehicles) {
    const node =
      nodes.get(state.vehicle.company_id) ??
      (lost ??= { company: { id: UNKNOWN_COMPANY, name: unknown }, children: [], vehicles: [] });
    node.vehicles.push(state);
  }
  roots.sort(byName);
  if (lost) roots.push(lost);

  const out: Row[] = [];
  const filtered = query.text.trim() !== "" || query.onlineOnly;
  for (const root of roots) write(root, 0);
  return out;

  function write(node: Node, depth: number): { online: number; total: number; shown: number } {
    const place = out.length;
    const open = filtered || !query.closed.has(node.company.id);
    const row: Row = { kind: "company", id: node.company.id, name: node.company.name, depth, open, online: 0, total: 0 };
    out.push(row);
    let shown = 0;
    for (const child of node.children.sort(byName)) {
      const below = write(child, depth + 1);
      row.online += below.online;
      row.total += below.total;
      shown += below.shown;
    }
    row.total += node.vehicles.length;
    for (const state of node.vehicles) if (state.online) row.online += 1;
    const matching = node.vehicles.filter(wanted);
    shown += matching.length;
    for (const state of matching) out.push({ kind: "vehicle", id: state.vehicle.id, depth: depth + 1, state });
    if (!open) out.length = place + 1;
    if (filtered && shown === 0) out.length = place;
    return { online: row.online, total: row.total, shown };
  }
}

/** The companies over and including `id`, whose rows hide what is below them when they are closed. */
export function above(companies: readonly Branch[], id: number): number[] {
  const parents = new Map(companies.map((company) => [company.id, company.parent_id]));
  const out: number[] = [];
  for (let at: number | null | undefined = id; typeof at === "number" && !out.includes(at); at = parents.get(at)) out.push(at);
  return out;
}

function matcher({ text, onlineOnly }: TreeQuery): (state: VehicleState) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (state) => {
    if (onlineOnly && !state.online) return false;
    if (words.length === 0) return true;
    const { plate, terminals } = state.vehicle;
    const hay = [plate, ...terminals.flatMap(({ sim, device_no }) => [sim, device_no])].join("\n").toLowerCase();
    return words.every((word) => hay.includes(word));
  };
}

function parentOf(nodes: ReadonlyMap<number, Node>, company: Branch): Node | undefined {
  return typeof company.parent_id === "number" ? nodes.get(company.parent_id) : undefined;
}

/** Whether `node` is its own ancestor; such a ring is broken instead of followed for ever. */
function reaches(nodes: ReadonlyMap<number, Node>, node: Node): boolean {
  const seen = new Set<Node>();
  for (let over = parentOf(nodes, node.company); over && !seen.has(over); over = parentOf(nodes, over.company)) {
    if (over === node) return true;
    seen.add(over);
  }
  return false;
}

// Intl.Collator compares ten times faster than localeCompare, and "B2" sorts before "B10".
const collator = new Intl.Collator(undefined, { numeric: true });

function byName(a: Node, b: Node): number {
  return collator.compare(a.company.name, b.company.name);
}

export function byPlate(a: VehicleState, b: VehicleState): number {
  return collator.compare(a.vehicle.plate, b.vehicle.plate);
}
