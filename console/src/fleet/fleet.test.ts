import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Client } from "../api/client";
import type { FleetEvent, LatestPosition, Vehicle } from "../api/types";
import { Fleet } from "./fleet";
import { carried, report } from "./testing";

const vehicle = (online: boolean) => carried(1, 1, "B1", online);
const latest = (online: boolean): LatestPosition => ({
  terminal_id: 101,
  device_no: "D1",
  company_id: 1,
  vehicle_id: 1,
  online,
  position: report(1_000, 10, 20),
});

/** A server whose vehicles are listed when `answer` is called, and whose stream says what `say` is given. */
function server(online: boolean) {
  let stream: ReadableStreamDefaultController<Uint8Array>;
  let answer: () => void = () => undefined;
  const loads = { count: 0 };
  const client = {
    companies: () => Promise.resolve([]),
    vehicles: () => {
      loads.count += 1;
      return new Promise<Vehicle[]>((resolve) => (answer = () => resolve([vehicle(online)])));
    },
    latest: (onPage: (page: LatestPosition[]) => void) => Promise.resolve(onPage([latest(online)])),
    track: () => Promise.resolve({ points: [], complete: true }),
    send: () => Promise.resolve(new Response(new ReadableStream<Uint8Array>({ start: (controller) => void (stream = controller) }))),
  } as unknown as Client;
  const write = (event: string, data: unknown) =>
    stream.enqueue(new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
  return { client, loads, answer: () => answer(), write, say: (event: FleetEvent) => write(event.type, event) };
}

const went: FleetEvent = { type: "presence", vehicle_id: 1, terminal: 101, presence: "offline" };

describe("the fleet", () => {
  let fleet: Fleet;
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => {
    fleet.close();
    vi.useRealTimers();
  });

  async function open(online: boolean) {
    const made = server(online);
    fleet = new Fleet(made.client);
    fleet.open();
    await vi.advanceTimersByTimeAsync(1);
    return made;
  }

  it("keeps what the stream said while an older list was on its way", async () => {
    const { answer, say } = await open(true);
    say(went);
    await vi.advanceTimersByTimeAsync(1);
    answer();
    await vi.advanceTimersByTimeAsync(1);
    expect(fleet.find(1)).toMatchObject({ online: false, position: { longitude: 10 } });
  });

  it("does not take a report that was stored late for a terminal that is there", async () => {
    const { answer, say } = await open(true);
    answer();
    await vi.advanceTimersByTimeAsync(1);
    expect(fleet.summary()).toEqual({ total: 1, online: 1, alarms: 0 });
    say(went);
    say({ type: "position", vehicle_id: 1, ...report(2_000, 11, 20) });
    await vi.advanceTimersByTimeAsync(1);
    expect(fleet.find(1)).toMatchObject({ online: false, position: { longitude: 11 } });
  });

  it("loads again, alarms too, when events were missed; many wishes make one load", async () => {
    const { answer, write, loads } = await open(true);
    answer();
    await vi.advanceTimersByTimeAsync(1);
    const before = fleet.alarmVersion();
    for (let n = 0; n < 5; n++) write("lagged", { missed: n });
    await vi.advanceTimersByTimeAsync(6_000);
    expect(loads.count).toBe(2);
    expect(fleet.alarmVersion()).toBeGreaterThan(before);
  });
});
