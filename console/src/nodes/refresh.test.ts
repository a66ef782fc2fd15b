import { createRoot } from "solid-js";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { createRefresh, type Refresh } from "./refresh";

const EVERY_MS = 1_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function refreshing(load: (signal: AbortSignal) => Promise<void>): { it: Refresh; end: () => void } {
  return createRoot((end) => ({ it: createRefresh(load, EVERY_MS), end }));
}

it("shows what went wrong until it goes well again", async () => {
  const answers = [() => Promise.reject(new Error("away")), () => Promise.resolve()];
  const { it: refresh, end } = refreshing(() => (answers.shift() ?? (() => Promise.resolve()))());
  await vi.advanceTimersByTimeAsync(0);
  expect(refresh.error()).toEqual(new Error("away"));
  await vi.advanceTimersByTimeAsync(EVERY_MS);
  expect(refresh.error()).toBe(null);
  end();
});

it("waits for a slow answer, asks anew when told to, and no more when it is gone", async () => {
  const asked: AbortSignal[] = [];
  const { it: refresh, end } = refreshing((signal) => {
    asked.push(signal);
    return new Promise(() => undefined);
  });
  await vi.advanceTimersByTimeAsync(5 * EVERY_MS);
  expect(asked.length).toBe(1);
  refresh.refresh();
  expect(asked.map((signal) => signal.aborted)).toEqual([true, false]);
  end();
  await vi.advanceTimersByTimeAsync(5 * EVERY_MS);
  expect(asked.map((signal) => signal.aborted)).toEqual([true, true]);
});

it("takes no word from what it has given up", async () => {
  const fail: ((problem: Error) => void)[] = [];
  const { it: refresh, end } = refreshing(() => new Promise((_, reject) => fail.push(reject)));
  refresh.refresh();
  fail[0]?.(new Error("late"));
  await vi.advanceTimersByTimeAsync(0);
  expect(refresh.error()).toBe(null);
  end();
});
