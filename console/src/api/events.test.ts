import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client } from "./client";
import { follow, pause, type Hooks } from "./events";
import type { FleetEvent } from "./types";

const online = { type: "presence", vehicle_id: 7, terminal: 70, presence: "online" };

/** A server whose streams say one text each and then last as long as they should. */
function server(...streams: { text: string; lasts_ms: number }[]) {
  const opened: number[] = [];
  const client = {
    send: (_method: string, _path: string, { signal }: { signal: AbortSignal }) => {
      opened.push(Date.now());
      const { text, lasts_ms } = streams[opened.length - 1] ?? { text: "", lasts_ms: Infinity };
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(text));
          if (lasts_ms < Infinity) setTimeout(() => controller.close(), lasts_ms);
          signal.addEventListener("abort", () => controller.error(signal.reason));
        },
      });
      return Promise.resolve(new Response(body));
    },
  } as unknown as Client;
  return { client, opened };
}

function listener() {
  const heard = { events: [] as FleetEvent[], missed: 0, links: [] as string[] };
  const hooks: Hooks = {
    onEvents: (events) => heard.events.push(...events),
    onMissed: () => (heard.missed += 1),
    onLink: (link) => heard.links.push(link),
  };
  return { heard, hooks };
}

describe("the event stream", () => {
  const stop = { now: new AbortController() };
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    stop.now = new AbortController();
  });
  afterEach(() => {
    stop.now.abort();
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  it("gives events and skips kinds and texts that it does not know", async () => {
    const text = `event: presence\ndata: ${JSON.stringify(online)}\n\nevent: weather\ndata: {}\n\nevent: alarm\ndata: nothing\n\n`;
    const { client } = server({ text, lasts_ms: Infinity });
    const { heard, hooks } = listener();
    void follow(client, hooks, stop.now.signal);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard.events).toEqual([online]);
    expect(heard.links).toEqual(["connecting", "open"]);
    expect(heard.missed).toBe(0);
  });

  it("says that something was missed when the server says so, and after each reopening", async () => {
    const { client } = server({ text: 'event: lagged\ndata: {"missed":3}\n\n', lasts_ms: 20_000 });
    const { heard, hooks } = listener();
    void follow(client, hooks, stop.now.signal);
    await vi.advanceTimersByTimeAsync(10);
    expect(heard.missed).toBe(1);
    await vi.advanceTimersByTimeAsync(21_000);
    expect(heard.missed).toBe(2);
    expect(heard.links).toEqual(["connecting", "open", "waiting", "connecting", "open"]);
  });

  it("waits longer and longer for a server that ends each stream at once, and starts over after one that lasted", async () => {
    const short = { text: "", lasts_ms: 0 };
    const { client, opened } = server(short, short, short, { text: "", lasts_ms: 15_000 }, short);
    void follow(client, listener().hooks, stop.now.signal);
    await vi.advanceTimersByTimeAsync(30_000);
    const waits = opened.slice(1).map((ms, n) => ms - (opened[n] as number));
    expect(waits.slice(0, 3).map((ms) => Math.round(ms / 100) * 100)).toEqual([500, 1_000, 2_000]);
    expect(Math.round((waits[3] as number) / 100) * 100).toBe(15_500);
  });

  it("gives a silent link up", async () => {
    const { client, opened } = server();
    void follow(client, listener().hooks, stop.now.signal);
    await vi.advanceTimersByTimeAsync(44_000);
    expect(opened).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(opened).toHaveLength(2);
  });

  it("pauses no longer than it is wanted", async () => {
    stop.now.abort();
    await pause(1_000_000, stop.now.signal);
  });
});
