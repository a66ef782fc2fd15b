import { describe, expect, it, vi } from "vitest";

import { Client } from "./client";
import { Login, type Surroundings } from "./login";
import { Problem } from "./problem";

/** A server with rotating refresh tokens, as strict as the real one: a spent token ends the login. */
class Server {
  access = "";
  refresh = "";
  ended = false;
  count = 0;
  refreshes = 0;
  down = false;
  failing = false;

  readonly fetch: typeof fetch = async (input, init) => {
    await Promise.resolve();
    if (this.down) throw new TypeError("network");
    const path = String(input).replace("/api/v1", "");
    const body = init?.body ? (JSON.parse(String(init.body)) as Record<string, string>) : {};
    if (path === "/auth/login") {
      return body["password"] === "right" ? this.tokens() : problem(401, "wrong account or password");
    }
    if (path === "/auth/refresh") {
      this.refreshes += 1;
      if (this.failing) return problem(500, "something went wrong here");
      if (this.ended || body["refresh_token"] !== this.refresh) {
        this.ended = true;
        return problem(401, "the refresh token was used before");
      }
      return this.tokens();
    }
    const bearer = new Headers(init?.headers).get("authorization");
    if (path === "/auth/logout") {
      if (bearer !== `Bearer ${this.access}`) return problem(401, "expired");
      this.ended ||= body["refresh_token"] === this.refresh;
      return new Response(null, { status: 204 });
    }
    if (path === "/me/password" && bearer === `Bearer ${this.access}`) {
      // As on the platform, every login of the account ends.
      this.access = this.refresh = "ended by the change";
      return new Response(null, { status: 204 });
    }
    return bearer === `Bearer ${this.access}` ? Response.json({ path }) : problem(401, "expired");
  };

  tokens(): Response {
    this.count += 1;
    this.access = `access-${this.count}`;
    this.refresh = `refresh-${this.count}`;
    return Response.json({
      access_token: this.access,
      expires_in_s: 900,
      refresh_token: this.refresh,
      must_change_password: false,
    });
  }
}

function problem(status: number, detail: string): Response {
  return Response.json(
    { type: "about:blank", title: "Unauthorized", status, detail },
    { status, headers: { "content-type": "application/problem+json" } },
  );
}

function storage(): Surroundings["storage"] & { kept: Map<string, string> } {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

function setUp(server = new Server()) {
  let ms = 0;
  const kept = storage();
  const around: Surroundings = { fetch: server.fetch, storage: kept, now: () => ms };
  const login = new Login("/api/v1", around);
  return { server, kept, around, login, client: new Client("/api/v1", login, server.fetch), pass: (by: number) => (ms += by) };
}

describe("a login", () => {
  it("survives a reload of the page and ends with sign-out", async () => {
    const { server, login, around, kept } = setUp();
    await login.signIn("admin", "right");
    expect(new Login("/api/v1", around).account).toBe("admin");
    expect(server.ended).toBe(false);
    login.signOut();
    expect(login.account).toBeNull();
    expect(kept.kept.size).toBe(0);
    await vi.waitFor(() => expect(server.ended).toBe(true));
  });

  it("ends on the server by sign-out although its access token is over", async () => {
    const { server, login } = setUp();
    await login.signIn("admin", "right");
    server.access = "another";
    login.signOut();
    await vi.waitFor(() => expect(server.ended).toBe(true));
    expect(server.refreshes).toBe(1);
  });

  it("tells why a sign-in was refused", async () => {
    const { login } = setUp();
    const error = await login.signIn("admin", "wrong").catch((problem: unknown) => problem);
    expect(error).toBeInstanceOf(Problem);
    expect(error).toMatchObject({ status: 401, detail: "wrong account or password" });
  });

  it("renews once for many requests whose token expired early", async () => {
    const { server, login, client } = setUp();
    await login.signIn("admin", "right");
    server.access = "revoked";
    const answers = await Promise.all(Array.from({ length: 5 }, () => client.me()));
    expect(answers).toHaveLength(5);
    expect(server.refreshes).toBe(1);
    expect(server.ended).toBe(false);
  });

  it("renews before the token expires", async () => {
    const { server, login, pass } = setUp();
    await login.signIn("admin", "right");
    expect(await login.bearer()).toBe("access-1");
    pass(890_000);
    expect(await login.bearer()).toBe("access-2");
    expect(server.refreshes).toBe(1);
  });

  it("ends when the refresh token is refused, and says so to whoever listens", async () => {
    const { server, login, client } = setUp();
    await login.signIn("admin", "right");
    const heard = vi.fn();
    login.onChange(heard);
    server.ended = true;
    server.access = "revoked";
    await expect(client.me()).rejects.toMatchObject({ status: 401 });
    expect(login.account).toBeNull();
    expect(heard).toHaveBeenCalledOnce();
  });

  it("outlives a server that is away", async () => {
    const { server, login, client, pass } = setUp();
    await login.signIn("admin", "right");
    pass(890_000);
    server.down = true;
    await expect(client.me()).rejects.toMatchObject({ status: 0, transient: true });
    expect(login.account).toBe("admin");
    server.down = false;
    await expect(client.me()).resolves.toEqual({ path: "/me" });
  });

  it("outlives a server that fails", async () => {
    const { server, login, client, pass } = setUp();
    await login.signIn("admin", "right");
    pass(890_000);
    server.failing = true;
    await expect(client.me()).rejects.toMatchObject({ status: 500 });
    expect(login.account).toBe("admin");
    server.failing = false;
    await expect(client.me()).resolves.toEqual({ path: "/me" });
  });

  it("does not wait for ever for a renewal", async () => {
    const { login, around, pass } = setUp();
    await login.signIn("admin", "right");
    const stuck = new Login("/api/v1", { ...around, fetch: hanging, answer_ms: 5 });
    pass(890_000);
    await expect(stuck.bearer()).rejects.toMatchObject({ status: 0 });
    expect(stuck.account).toBe("admin");
  });

  it("needs no browser that keeps anything", async () => {
    const { around } = setUp();
    const login = new Login("/api/v1", { ...around, storage: undefined });
    await login.signIn("admin", "right");
    expect(await login.bearer()).toBe("access-1");
  });

  it("goes on after a change of the password, and ends where the new one does not open it", async () => {
    const { login, server } = setUp();
    await login.signIn("admin", "right");
    const heard = vi.fn();
    login.onChange(heard);
    await login.changePassword("old", "right");
    expect(await login.bearer()).toBe(server.access);
    expect(heard).toHaveBeenCalledOnce();
    await expect(login.changePassword("right", "not what the server has")).rejects.toMatchObject({ status: 401 });
    expect(login.account).toBeNull();
  });
});

describe("twin tabs of one login", () => {
  /** Tabs that began as copies of a signed-in one. Without locks, as on a page that came by plain HTTP. */
  async function twins(count: number) {
    const { server, login, around, pass } = setUp();
    await login.signIn("admin", "right");
    const channels: { deaf: boolean; onmessage: ((event: MessageEvent) => void) | null }[] = [];
    const tabs = Array.from({ length: count }, () => {
      const own = storage();
      own.setItem("motorcade.login", around.storage?.getItem("motorcade.login") ?? "");
      const mine = {
        deaf: false,
        onmessage: null as ((event: MessageEvent) => void) | null,
        postMessage: (data: unknown) => {
          const message = { data: structuredClone(data) } as MessageEvent;
          for (const other of channels) if (other !== mine && !other.deaf) queueMicrotask(() => other.onmessage?.(message));
        },
      };
      channels.push(mine);
      return new Login("/api/v1", { ...around, storage: own, channel: mine as unknown as NonNullable<Surroundings["channel"]> });
    });
    return { server, tabs, channels, pass };
  }

  it("renew once, also when all of them want to at the same time", async () => {
    const { server, tabs, pass } = await twins(4);
    pass(890_000);
    const bearers = await Promise.all(tabs.map((tab) => tab.bearer()));
    expect(new Set(bearers)).toEqual(new Set(["access-2"]));
    expect(server.refreshes).toBe(1);
    expect(server.ended).toBe(false);
  });

  it("give their tokens to one that slept through the news", async () => {
    const { server, tabs, channels, pass } = await twins(2);
    const [awake, asleep] = tabs as [Login, Login];
    (channels[1] as { deaf: boolean }).deaf = true;
    pass(890_000);
    expect(await awake.bearer()).toBe("access-2");
    (channels[1] as { deaf: boolean }).deaf = false;
    expect(await asleep.bearer()).toBe("access-2");
    expect(server.refreshes).toBe(1);
  });

  it("take their turns when the renewal of one fails", async () => {
    const { server, tabs, pass } = await twins(3);
    pass(890_000);
    server.failing = true;
    await expect(Promise.all(tabs.map((tab) => tab.bearer()))).rejects.toMatchObject({ status: 500 });
    server.failing = false;
    for (const tab of tabs) expect(await tab.bearer()).toBe("access-2");
    expect(server.ended).toBe(false);
  });

  it("end together with a sign-out", async () => {
    const { tabs } = await twins(2);
    const [left, other] = tabs as [Login, Login];
    const heard = vi.fn();
    other.onChange(heard);
    left.signOut();
    await vi.waitFor(() => expect(other.account).toBeNull());
    expect(heard).toHaveBeenCalledOnce();
  });

  it("go on together after a change of the password", async () => {
    const { server, tabs } = await twins(2);
    const [changed, other] = tabs as [Login, Login];
    await changed.changePassword("old", "right");
    await vi.waitFor(async () => expect(await other.bearer()).toBe(server.access));
  });
});

/** Never answers. */
const hanging: typeof fetch = (_, init) =>
  new Promise((_resolve, reject) => {
    const fail = () => reject(init?.signal?.reason as Error);
    if (init?.signal?.aborted) fail();
    init?.signal?.addEventListener("abort", fail);
  });

describe("the client", () => {
  it("does not wait for ever for an answer, and knows that from a wish to stop", async () => {
    const { login } = setUp();
    await login.signIn("admin", "right");
    const stuck = new Client("/api/v1", login, hanging, 5);
    await expect(stuck.me()).rejects.toMatchObject({ status: 0, transient: true });
    const stop = new AbortController();
    const asked = new Client("/api/v1", login, hanging).alarms({}, stop.signal);
    stop.abort();
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });

  it("reads lists to their last page", async () => {
    const pages = new Map([
      [null, { items: [{ id: 1 }, { id: 2 }], next_cursor: "two" }],
      ["two", { items: [{ id: 3 }], next_cursor: null }],
    ]);
    const fetch_: typeof fetch = async (input) => {
      const cursor = new URL(String(input), "http://x").searchParams.get("cursor");
      return String(input).includes("/auth/login") ? new Server().tokens() : Response.json(pages.get(cursor));
    };
    const login = new Login("/api/v1", { fetch: fetch_, storage: storage(), now: () => 0 });
    await login.signIn("admin", "right");
    const companies = await new Client("/api/v1", login, fetch_).companies();
    expect(companies.map(({ id }) => id)).toEqual([1, 2, 3]);
  });

  it("names a reply without an envelope by its status", async () => {
    const error = await Problem.of(new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
    expect(error).toMatchObject({ status: 502, title: "Bad Gateway", detail: "", transient: true });
  });
});
