import { describe, expect, it } from "vitest";

import type { Alarm } from "../api/types";
import { lengthened, refreshed } from "./list";

function alarm(id: string, minute: number): Alarm {
  return { id, start: new Date(minute * 60_000).toISOString() } as Alarm;
}
const ids = (alarms: Alarm[]) => alarms.map(({ id }) => id).join("");

describe("the list of alarms", () => {
  const [a, b, c, d] = [alarm("a", 4), alarm("b", 3), alarm("c", 2), alarm("d", 1)];

  it("keeps the alarm that somebody is about to handle, in its place", () => {
    expect(ids(refreshed([a, c], [a, b, c], new Set(["b"])))).toBe("abc");
    expect(ids(refreshed([a, c], [a, b, c], new Set()))).toBe("ac");
    expect(ids(refreshed([a, b], [b], new Set(["b"])))).toBe("ab");
  });

  it("shows no alarm twice where pages have moved on", () => {
    expect(ids(lengthened([a, b, c], [c, d]))).toBe("abcd");
  });
});
