// A person's login: the two tokens, where they are kept, and their renewal.
// Tokens live in memory and in this tab's sessionStorage, never in localStorage or a cookie.

import { Problem } from "./problem";
import type { Tokens } from "./types";

const KEY = "motorcade.login";
/** Renewed this long before it expires, so that no request leaves with a token that dies on the way. */
const MARGIN_MS = 20_000;
/** How long a tab keeps the renewal lock after telling the others, for the news to arrive before they look. */
const SPREAD_MS = 100;

interface Kept {
  account: string;
  access: string;
  refresh: string;
  expires_ms: number;
  must_change_password: boolean;
}

/** The parts of the browser that a login touches; tests bring their own. */
export interface Surroundings {
  fetch: typeof fetch;
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  now: () => number;
  /** News between tabs of one login (a duplicated tab starts with a copy of its tokens). */
  channel?: Pick<BroadcastChannel, "postMessage" | "onmessage"> | undefined;
  locks?: Pick<LockManager, "request"> | undefined;
}

export class Login {
  private kept: Kept | null;
  private renewal: Promise<void> | null = null;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly base: string,
    private readonly around: Surroundings,
  ) {
    this.kept = parse(around.storage.getItem(KEY));
    if (around.channel) {
      around.channel.onmessage = (message: MessageEvent) => this.heard(message.data);
    }
  }

  get account(): string | null {
    return this.kept?.account ?? null;
  }

  get mustChangePassword(): boolean {
    return this.kept?.must_change_password ?? false;
  }

  /** Calls `listener` whenever somebody signs in or out, or the password was changed. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async signIn(account: string, password: string): Promise<void> {
    const tokens = await this.post<Tokens>("/auth/login", { account, password });
    this.keep(account, tokens);
    this.tell();
  }

  /** Forgets the tokens at once and tells the server, whose answer is not waited for. */
  signOut(): void {
    const refresh = this.kept?.refresh;
    this.forget();
    if (refresh) {
      void this.post("/auth/logout", { refresh_token: refresh }).catch(() => undefined);
    }
  }

  /** Tokens before a password change may have ended with it, so it signs in again. */
  async changePassword(old: string, fresh: string): Promise<void> {
    const account = this.kept?.account;
    if (!account) throw new Problem(401, "not signed in", "");
    await this.post("/me/password", { old, new: fresh }, await this.bearer());
    await this.signIn(account, fresh);
  }

  /** A token that is good for a while. Concurrent callers share one renewal: a refresh token is spent by use. */
  async bearer(): Promise<string> {
    if (!this.kept) throw new Problem(401, "not signed in", "");
    if (this.kept.expires_ms - MARGIN_MS <= this.around.now()) await this.renew(this.kept.access);
    if (!this.kept) throw new Problem(401, "not signed in", "");
    return this.kept.access;
  }

  /** Renews `stale`, which the server refused or which is about to expire; does nothing where that is done. */
  async renew(stale: string): Promise<void> {
    if (this.kept?.access !== stale) return;
    this.renewal ??= this.alone(() => this.rotate(stale)).finally(() => (this.renewal = null));
    await this.renewal;
  }

  private async rotate(stale: string): Promise<void> {
    const before = this.kept;
    if (!before || before.access !== stale) return;
    try {
      const tokens = await this.post<Tokens>("/auth/refresh", { refresh_token: before.refresh });
      if (this.kept !== before) return;
      this.keep(before.account, tokens);
      this.around.channel?.postMessage({ spent: before.refresh, kept: this.kept });
    } catch (error) {
      // Only a refusal ends the login; a server that is away does not.
      if (error instanceof Problem && !error.transient && this.kept === before) this.forget();
      throw error;
    }
  }

  private alone(work: () => Promise<void>): Promise<void> {
    const { locks } = this.around;
    if (!locks) return work();
    return new Promise((resolve, reject) => {
      void locks.request(KEY, async () => {
        try {
          await work();
          resolve();
          await new Promise((done) => setTimeout(done, SPREAD_MS));
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  }

  private heard(news: { spent?: string; kept?: Kept } | null): void {
    if (news?.kept && news.spent === this.kept?.refresh) {
      this.kept = news.kept;
      this.around.storage.setItem(KEY, JSON.stringify(news.kept));
    }
  }

  private keep(account: string, tokens: Tokens): void {
    this.kept = {
      account,
      access: tokens.access_token,
      refresh: tokens.refresh_token,
      expires_ms: this.around.now() + tokens.expires_in_s * 1000,
      must_change_password: tokens.must_change_password,
    };
    this.around.storage.setItem(KEY, JSON.stringify(this.kept));
  }

  private forget(): void {
    this.kept = null;
    this.around.storage.removeItem(KEY);
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private async post<T = void>(path: string, body: unknown, bearer?: string): Promise<T> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (bearer) headers["authorization"] = `Bearer ${bearer}`;
    let reply: Response;
    try {
      reply = await this.around.fetch(this.base + path, { method: "POST", headers, body: JSON.stringify(body) });
    } catch {
      throw new Problem(0, "no answer", "");
    }
    if (!reply.ok) throw await Problem.of(reply);
    return (reply.status === 204 ? undefined : await reply.json()) as T;
  }
}

function parse(text: string | null): Kept | null {
  try {
    const kept = JSON.parse(text ?? "null") as Kept | null;
    return typeof kept?.access === "string" && typeof kept.refresh === "string" ? kept : null;
  } catch {
    return null;
  }
}
