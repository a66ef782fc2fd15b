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
      if (this.ended || body["refresh_token"] !== this.refresh) {
        this.ended = true;
        return problem(401, "the refresh token was used before");
      }
      return this.tokens();
    }
    if (path === "/auth/logout") return new Response(null, { status: 204 });
    const bearer = new Headers(init?.headers).get("authorization");
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
    const { login, around, kept } = setUp();
    await login.signIn("admin", "right");
    expect(new Login("/api/v1", around).account).toBe("admin");
    login.signOut();
    expect(login.account).toBeNull();
    expect(kept.kept.size).toBe(0);
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

  it("takes the tokens that a twin tab renewed instead of spending its own", async () => {
    const { server, login, around, pass } = setUp();
    await login.signIn("admin", "right");
    const channels: { onmessage: ((event: MessageEvent) => void) | null; postMessage: (data: unknown) => void }[] = [];
    const channel = () => {
      const mine: (typeof channels)[number] = {
        onmessage: null,
        postMessage: (data) => {
          for (const other of channels) if (other !== mine) other.onmessage?.({ data } as MessageEvent);
        },
      };
      channels.push(mine);
      return mine as unknown as NonNullable<Surroundings["channel"]>;
    };
    const twins = [1, 2].map(() => {
      const own = storage();
      own.setItem("motorcade.login", around.storage.getItem("motorcade.login") ?? "");
      return new Login("/api/v1", { ...around, storage: own, channel: channel() });
    });
    pass(890_000);
    for (const twin of twins) expect(await twin.bearer()).toBe("access-2");
    expect(server.refreshes).toBe(1);
    expect(server.ended).toBe(false);
  });
});

describe("the client", () => {
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
