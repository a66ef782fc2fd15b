// The list of what happened to nodes as it is shown, from what the server lists: the latest first, nothing ever
// taken away. Pure.

import type { NodeEvent, Page } from "../api/types";

export interface Listed {
  events: NodeEvent[];
  /** Asks for what comes after the last of them; null where nothing does. */
  cursor: string | null;
}

/** With the first page as it is now. What lies between is not known where the two do not meet: the rest goes. */
export function refreshed(listed: Listed | null, first: Page<NodeEvent>): Listed {
  const cursor = first.next_cursor ?? null;
  const known = new Set(listed?.events.map(({ id }) => id));
  const meet = first.items.some(({ id }) => known.has(id));
  if (!listed || !meet) return { events: first.items, cursor };
  return { events: merged(listed.events, first.items), cursor: listed.cursor };
}

/** With the page that its cursor asked for. */
export function lengthened(listed: Listed, page: Page<NodeEvent>): Listed {
  return { events: merged(listed.events, page.items), cursor: page.next_cursor ?? null };
}

function merged(shown: readonly NodeEvent[], page: readonly NodeEvent[]): NodeEvent[] {
  const ids = new Set(page.map(({ id }) => id));
  const events = [...shown.filter(({ id }) => !ids.has(id)), ...page];
  return events.sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || b.id - a.id);
}
