// Reads something again and again while it is shown.

import { createSignal, onCleanup, type Accessor } from "solid-js";

import { isAbort } from "../api/problem";

export interface Refresh {
  /** What went wrong last; null once it goes well again. */
  error: Accessor<unknown>;
  /** Reads at once, instead of what is being read. */
  refresh: () => void;
}

/** Runs `load` now and every so often until what shows it goes. A slow answer is waited for, not asked for again. */
export function createRefresh(load: (signal: AbortSignal) => Promise<void>, every_ms: number): Refresh {
  const [error, setError] = createSignal<unknown>(null);
  let asked: AbortController | null = null;

  const run = async () => {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      await load(mine.signal);
      if (asked === mine) setError(null);
    } catch (problem) {
      if (!isAbort(problem) && asked === mine) setError(problem);
    } finally {
      if (asked === mine) asked = null;
    }
  };
  const timer = setInterval(() => !asked && void run(), every_ms);
  onCleanup(() => {
    clearInterval(timer);
    asked?.abort();
    asked = null;
  });
  void run();
  return { error, refresh: () => void run() };
}
