// The live event stream: opened with the bearer token, reopened with back-off, silence noticed.

import type { Client } from "./client";
import { SseParser } from "./sse";
import type { FleetEvent } from "./types";

/** The server sends a comment every 15 s; three missing ones mean that the link is dead. */
const SILENCE_MS = 45_000;
const BACKOFF_MS = { first: 500, max: 20_000 };
/** A stream that ends sooner was no success: the wait before the next one goes on growing. */
const STEADY_MS = 10_000;
/** What the console shows; of streams it hears from the player. */
const TYPES = ["position", "alarm", "presence"];

export type Link = "connecting" | "open" | "waiting";

export interface Hooks {
  onEvents: (events: FleetEvent[]) => void;
  /** Something was missed (lagged, or the stream was away): what is shown must be loaded again. */
  onMissed: () => void;
  onLink: (link: Link) => void;
}

/** Follows the stream until `signal`; never throws. */
export async function follow(client: Client, hooks: Hooks, signal: AbortSignal): Promise<void> {
  let wait = BACKOFF_MS.first;
  let before = false;
  while (!signal.aborted) {
    hooks.onLink("connecting");
    let opened_ms = Infinity;
    try {
      await once(client, hooks, signal, () => {
        opened_ms = Date.now();
        if (before) hooks.onMissed();
        before = true;
      });
    } catch {
      // Why does not matter here: a refused login is told by every other request too.
    }
    if (signal.aborted) return;
    if (Date.now() - opened_ms >= STEADY_MS) wait = BACKOFF_MS.first;
    hooks.onLink("waiting");
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, BACKOFF_MS.max);
  }
}

async function once(client: Client, hooks: Hooks, signal: AbortSignal, onOpen: () => void): Promise<void> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    const reply = await client.send("GET", "/events", {
      query: { types: TYPES.join(",") },
      endless: true,
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (!reply.body) return;
    hooks.onLink("open");
    onOpen();
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const fleet: FleetEvent[] = [];
      let lagged = false;
      for (const { event, data } of parser.push(value)) {
        if (event === "lagged") lagged = true;
        else fleet.push(...decode(event, data));
      }
      if (fleet.length) hooks.onEvents(fleet);
      if (lagged) hooks.onMissed();
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

/** An event of a kind that this console does not know is skipped: a newer server may send it. */
function decode(event: string, data: string): FleetEvent[] {
  try {
    const body = JSON.parse(data) as FleetEvent;
    return TYPES.includes(body.type ?? event)
      ? [{ ...body, type: body.type ?? event } as FleetEvent]
      : [];
  } catch {
    return [];
  }
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
