// The list of alarms as it is shown, from what the server lists. Pure.

import type { Alarm } from "../api/types";

/**
 * `fresh`, and of `before` what somebody is about to handle: an alarm that ends, or that another person handled,
 * does not take the note away under the hand that writes it. Newest first.
 */
export function refreshed(fresh: readonly Alarm[], before: readonly Alarm[], held: ReadonlySet<string>): Alarm[] {
  const lost = without(before, fresh).filter(({ id }) => held.has(id));
  return [...fresh, ...lost].sort((a, b) => Date.parse(b.start) - Date.parse(a.start));
}

/** `before` and the next page; alarms that began since pushed some over to it that are shown already. */
export function lengthened(before: readonly Alarm[], page: readonly Alarm[]): Alarm[] {
  return [...before, ...without(page, before)];
}

function without(alarms: readonly Alarm[], known: readonly Alarm[]): Alarm[] {
  const ids = new Set(known.map(({ id }) => id));
  return alarms.filter(({ id }) => !ids.has(id));
}
