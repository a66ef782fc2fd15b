import { describe, expect, it } from "vitest";

import type { NodeEvent } from "../api/types";
import { lengthened, refreshed, type Listed } from "./events";

const event = (id: number) => ({ id, at: new Date(id * 60_000).toISOString() }) as NodeEvent;
const page = (ids: number[], next_cursor: string | null) => ({ items: ids.map(event), next_cursor });
const told = ({ events, cursor }: Listed) => [events.map(({ id }) => id), cursor];

describe("the list of what happened to nodes", () => {
  const first = refreshed(null, page([9, 8], "8"));

  it("grows at both ends, and keeps its place", () => {
    const longer = lengthened(first, page([7, 6], "6"));
    expect(told(longer)).toEqual([[9, 8, 7, 6], "6"]);
    expect(told(refreshed(longer, page([10, 9], "9")))).toEqual([[10, 9, 8, 7, 6], "6"]);
    expect(told(lengthened(longer, page([5], null)))).toEqual([[9, 8, 7, 6, 5], null]);
  });

  it("shows nothing twice where pages have moved on", () => {
    expect(told(lengthened(first, page([8, 7], "7")))).toEqual([[9, 8, 7], "7"]);
  });

  it("begins anew where more happened than a page holds", () => {
    expect(told(refreshed(first, page([13, 12], "12")))).toEqual([[13, 12], "12"]);
  });

  it("begins with nothing", () => {
    const none = refreshed(null, page([], null));
    expect(told(none)).toEqual([[], null]);
    expect(told(refreshed(none, page([1], null)))).toEqual([[1], null]);
  });

  it("puts what happened at once in the order in which it was written", () => {
    const at = event(3).at;
    const twins = { items: [{ ...event(4), at }, { ...event(3), at }], next_cursor: null };
    expect(told(refreshed(refreshed(null, page([3], null)), twins))).toEqual([[4, 3], null]);
  });
});
