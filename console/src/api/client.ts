// The v1 API as functions: bearer, one renewal on 401, problems as errors, pages until the end.

import { ANSWER_MS, Problem, isAbort } from "./problem";
import type { Login } from "./login";
import type {
  Alarm,
  Approval,
  Cluster,
  Company,
  DeviceProfile,
  DeviceProfileChange,
  LatestPosition,
  LiveStream,
  Me,
  NewDeviceProfile,
  NodeEvent,
  Page,
  PendingTerminal,
  Position,
  Profile,
  Terminal,
  Vehicle,
} from "./types";

/** The server's upper limit of a page. */
const PAGE = 500;
/** Stops a listing whose cursor never ends. */
const PAGES_MAX = 1_000;

type Query = Record<string, string | number | boolean | undefined>;

export interface Call {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** An answer that never ends, whose silences the caller watches. */
  endless?: boolean;
}

export class Client {
  constructor(
    readonly base: string,
    private readonly login: Login,
    private readonly fetch_: typeof fetch,
    private readonly answer_ms = ANSWER_MS,
  ) {}

  me(): Promise<Me> {
    return this.json("GET", "/me");
  }

  companies(signal?: AbortSignal): Promise<Company[]> {
    return this.all("/companies", signal);
  }

  vehicles(signal?: AbortSignal): Promise<Vehicle[]> {
    return this.all("/vehicles", signal);
  }

  /** Page by page, as they come. */
  async latest(onPage: (page: LatestPosition[]) => void, signal?: AbortSignal): Promise<void> {
    for await (const page of this.pages<LatestPosition>("/positions/latest", signal)) onPage(page);
  }

  /** Rising; at most `max` of them. */
  async track(
    vehicle: number,
    from: Date,
    to: Date,
    max: number,
    signal: AbortSignal,
    onProgress: (points: number) => void,
  ): Promise<{ points: Position[]; complete: boolean }> {
    const points: Position[] = [];
    let cursor: string | null | undefined;
    do {
      const query: Query = { from: from.toISOString(), to: to.toISOString(), limit: PAGE, cursor: cursor ?? undefined };
      const page: Page<Position> = await this.json("GET", `/vehicles/${vehicle}/track`, { query, signal });
      points.push(...page.items);
      onProgress(points.length);
      cursor = page.next_cursor;
    } while (cursor && points.length < max);
    return { points, complete: !cursor };
  }

  alarms(query: Query, signal?: AbortSignal): Promise<Page<Alarm>> {
    return this.json("GET", "/alarms", { query, signal });
  }

  handleAlarm(id: string, note: string): Promise<Alarm> {
    return this.json("POST", `/alarms/${id}/handle`, { body: { note } });
  }

  unhandleAlarm(id: string): Promise<void> {
    return this.json("DELETE", `/alarms/${id}/handle`);
  }

  pending(signal?: AbortSignal): Promise<PendingTerminal[]> {
    return this.all("/pending-terminals", signal);
  }

  approve(sim: string, approval: Approval): Promise<Terminal> {
    return this.json("POST", `/pending-terminals/${encodeURIComponent(sim)}/approve`, { body: approval });
  }

  reject(sim: string): Promise<void> {
    return this.json("DELETE", `/pending-terminals/${encodeURIComponent(sim)}`);
  }

  deviceProfiles(signal?: AbortSignal): Promise<DeviceProfile[]> {
    return this.all("/device-profiles", signal);
  }

  createDeviceProfile(profile: NewDeviceProfile): Promise<DeviceProfile> {
    return this.json("POST", "/device-profiles", { body: profile });
  }

  changeDeviceProfile(id: number, change: DeviceProfileChange): Promise<DeviceProfile> {
    return this.json("PATCH", `/device-profiles/${id}`, { body: change });
  }

  deleteDeviceProfile(id: number): Promise<void> {
    return this.json("DELETE", `/device-profiles/${id}`);
  }

  setDeviceProfile(terminal: number, profile: number | null): Promise<Terminal> {
    return this.json("PATCH", `/terminals/${terminal}`, { body: { device_profile_id: profile } });
  }

  cluster(signal?: AbortSignal): Promise<Cluster> {
    return this.json("GET", "/nodes", { signal });
  }

  drain(node: string): Promise<void> {
    return this.json("POST", `/nodes/${encodeURIComponent(node)}/drain`);
  }

  undrain(node: string): Promise<void> {
    return this.json("POST", `/nodes/${encodeURIComponent(node)}/undrain`);
  }

  nodeEvents(query: Query, signal?: AbortSignal): Promise<Page<NodeEvent>> {
    return this.json("GET", "/node-events", { query, signal });
  }

  live(vehicle: number, terminal: number, channel: number, profile: Profile, signal: AbortSignal): Promise<LiveStream> {
    return this.json("POST", `/vehicles/${vehicle}/channels/${channel}/live`, {
      body: { profile, terminal_id: terminal },
      signal,
    });
  }

  /** One request; a 401 renews the login once and tries again. */
  async send(method: string, path: string, call: Call = {}): Promise<Response> {
    const headers: Record<string, string> = { accept: call.endless ? "text/event-stream" : "application/json" };
    if (call.body !== undefined) headers["content-type"] = "application/json";
    for (let attempt = 0; ; attempt++) {
      const bearer = await this.login.bearer();
      headers["authorization"] = `Bearer ${bearer}`;
      const init: RequestInit = { method, headers, cache: "no-store" };
      if (call.body !== undefined) init.body = JSON.stringify(call.body);
      const ends = [call.signal, call.endless ? undefined : AbortSignal.timeout(this.answer_ms)];
      init.signal = AbortSignal.any(ends.filter((end) => end !== undefined));
      let reply: Response;
      try {
        reply = await this.fetch_(this.base + path + search(call.query), init);
      } catch (error) {
        if (isAbort(error)) throw error;
        throw new Problem(0, "no answer", "");
      }
      if (reply.ok) return reply;
      if (reply.status !== 401 || attempt > 0) throw await Problem.of(reply);
      await this.login.renew(bearer);
    }
  }

  private async json<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const reply = await this.send(method, path, call);
    if (reply.status === 204) return undefined as T;
    try {
      return (await reply.json()) as T;
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new Problem(0, "unreadable answer", "");
    }
  }

  private async all<T>(path: string, signal?: AbortSignal): Promise<T[]> {
    const items: T[] = [];
    for await (const page of this.pages<T>(path, signal)) items.push(...page);
    return items;
  }

  private async *pages<T>(path: string, signal?: AbortSignal): AsyncGenerator<T[]> {
    let cursor: string | undefined;
    for (let count = 0; count < PAGES_MAX; count++) {
      const page: Page<T> = await this.json("GET", path, { query: { limit: PAGE, cursor }, signal });
      yield page.items;
      if (!page.next_cursor) return;
      cursor = page.next_cursor;
    }
  }
}

function search(query: Query | undefined): string {
  const given = Object.entries(query ?? {}).flatMap(([key, value]) =>
    value === undefined || value === "" ? [] : [[key, String(value)]],
  );
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
