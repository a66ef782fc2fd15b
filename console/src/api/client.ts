// The v1 API as functions: bearer, one renewal on 401, problems as errors, pages until the end.

import { Problem, isAbort } from "./problem";
import type { Login } from "./login";
import type {
  Alarm,
  Approval,
  Company,
  LatestPosition,
  LiveStream,
  Me,
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
}

export class Client {
  constructor(
    readonly base: string,
    private readonly login: Login,
    private readonly fetch_: typeof fetch,
  ) {}

  me(): Promise<Me> {
    return this.json("GET", "/me");
  }

  companies(): Promise<Company[]> {
    return this.all("/companies");
  }

  vehicles(onPage?: (page: Vehicle[]) => void): Promise<Vehicle[]> {
    return this.all("/vehicles", {}, onPage);
  }

  vehicle(id: number): Promise<Vehicle> {
    return this.json("GET", `/vehicles/${id}`);
  }

  latest(onPage?: (page: LatestPosition[]) => void): Promise<LatestPosition[]> {
    return this.all("/positions/latest", {}, onPage);
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

  pending(): Promise<PendingTerminal[]> {
    return this.all("/pending-terminals");
  }

  approve(sim: string, approval: Approval): Promise<Terminal> {
    return this.json("POST", `/pending-terminals/${encodeURIComponent(sim)}/approve`, { body: approval });
  }

  reject(sim: string): Promise<void> {
    return this.json("DELETE", `/pending-terminals/${encodeURIComponent(sim)}`);
  }

  live(vehicle: number, terminal: number, channel: number, profile: Profile, signal: AbortSignal): Promise<LiveStream> {
    return this.json("POST", `/vehicles/${vehicle}/channels/${channel}/live`, {
      body: { profile, terminal_id: terminal },
      signal,
    });
  }

  /** One request; a 401 renews the login once and tries again. */
  async send(method: string, path: string, call: Call & { accept?: string } = {}): Promise<Response> {
    const headers: Record<string, string> = { accept: call.accept ?? "application/json" };
    if (call.body !== undefined) headers["content-type"] = "application/json";
    for (let attempt = 0; ; attempt++) {
      const bearer = await this.login.bearer();
      headers["authorization"] = `Bearer ${bearer}`;
      const init: RequestInit = { method, headers, cache: "no-store" };
      if (call.body !== undefined) init.body = JSON.stringify(call.body);
      if (call.signal) init.signal = call.signal;
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

  private async all<T>(path: string, query: Query = {}, onPage?: (page: T[]) => void): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    for (let count = 0; count < PAGES_MAX; count++) {
      const page: Page<T> = await this.json("GET", path, { query: { ...query, limit: PAGE, cursor } });
      items.push(...page.items);
      onPage?.(page.items);
      if (!page.next_cursor) break;
      cursor = page.next_cursor;
    }
    return items;
  }
}

function search(query: Query | undefined): string {
  const given = Object.entries(query ?? {}).flatMap(([key, value]) =>
    value === undefined || value === "" ? [] : [[key, String(value)]],
  );
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
