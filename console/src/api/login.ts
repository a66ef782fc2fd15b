// A person's login: the two tokens, where they are kept, and their renewal.
// Tokens live in memory and in this tab's sessionStorage, never in localStorage or a cookie.

import { ANSWER_MS, Problem } from "./problem";
import type { Tokens } from "./types";

const KEY = "motorcade.login";
/** Renewed this long before it expires, so that no request leaves with a token that dies on the way. */
const MARGIN_MS = 20_000;
/** How long a tab waits for what its twins say before it renews: longer than a busy tab takes to answer. */
const TWINS_MS = 250;

interface Kept {
  /** Names the login among tabs: a duplicated tab has a copy of it. No secret. */
  login: string;
  /** Rises with every renewal: of two copies of a login, the higher one's tokens are good. */
  generation: number;
  account: string;
  access: string;
  refresh: string;
  expires_ms: number;
  must_change_password: boolean;
}

/** What tabs of one login tell each other. */
type News = { login: string } & (
  | { tells: "tokens"; kept: Kept }
  /** Wants to renew this generation. Of several the lowest claim does. */
  | { tells: "claim"; generation: number; claim: number }
  | { tells: "failed" }
  | { tells: "ended" }
);

/** The claim of a tab whose renewal is on its way: nobody goes before it. */
const RENEWING = -1;

/** The parts of the browser that a login touches; tests bring their own. */
export interface Surroundings {
  fetch: typeof fetch;
  /** Undefined where the browser keeps nothing: the login ends with the page. */
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem"> | undefined;
  now: () => number;
  /** News between tabs of one login (a duplicated tab starts with a copy of its tokens). */
  channel?: Pick<BroadcastChannel, "postMessage" | "onmessage"> | undefined;
  /** Only a secure context has them; the claims of tabs do without. */
  locks?: Pick<LockManager, "request"> | undefined;
  /** Longest wait for an answer. */
  answer_ms?: number;
}

export class Login {
  private kept: Kept | null;
  private renewal: Promise<void> | null = null;
  private readonly listeners = new Set<() => void>();
  /** What this tab claimed, while it renews or is about to. */
  private claim: number | null = null;
  private yielded = false;
  private wake: () => void = () => undefined;

  constructor(
    private readonly base: string,
    private readonly around: Surroundings,
  ) {
    this.kept = parse(around.storage?.getItem(KEY) ?? null);
    if (around.channel) {
      around.channel.onmessage = (message: MessageEvent) => this.heard(message.data as News | null);
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
    this.keep({ ...named(tokens, this.around.now()), account, login: `${this.around.now()}-${Math.random()}`, generation: 0 });
    this.tell();
  }

  /** Forgets the tokens at once, here and in twin tabs, and tells the server, whose answer is not waited for. */
  signOut(): void {
    const { kept } = this;
    this.forget();
    if (!kept) return;
    this.say({ login: kept.login, tells: "ended" });
    void this.endOnServer(kept).catch(() => undefined);
  }

  /** Logging out asks for an access token too; one that is over is renewed for this alone. */
  private async endOnServer(kept: Kept): Promise<void> {
    try {
      await this.post("/auth/logout", { refresh_token: kept.refresh }, kept.access);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      const tokens = await this.post<Tokens>("/auth/refresh", { refresh_token: kept.refresh });
      await this.post("/auth/logout", { refresh_token: tokens.refresh_token }, tokens.access_token);
    }
  }

  /** Every login of the account ends with its password, so this one signs in again, for its twins as well. */
  async changePassword(old: string, fresh: string): Promise<void> {
    const bearer = await this.bearer();
    try {
      await this.post("/me/password", { old, new: fresh }, bearer);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      await this.renew(bearer);
      await this.post("/me/password", { old, new: fresh }, await this.bearer());
    }
    const before = this.kept;
    if (!before) throw signedOut();
    try {
      const tokens = await this.post<Tokens>("/auth/login", { account: before.account, password: fresh });
      if (this.kept !== before) return;
      this.replace(before, tokens);
      this.tell();
    } catch (error) {
      // The old tokens are worth nothing any more: only a new sign-in helps.
      if (this.kept === before) this.forget();
      throw error;
    }
  }

  /** A token that is good for a while. Concurrent callers share one renewal: a refresh token is spent by use. */
  async bearer(): Promise<string> {
    if (!this.kept) throw signedOut();
    if (this.kept.expires_ms - MARGIN_MS <= this.around.now()) await this.renew(this.kept.access);
    if (!this.kept) throw signedOut();
    return this.kept.access;
  }

  /** Renews `stale`, which the server refused or which is about to expire; does nothing where that is done. */
  async renew(stale: string): Promise<void> {
    if (this.kept?.access !== stale) return;
    this.renewal ??= this.alone(() => this.rotate(stale)).finally(() => (this.renewal = null));
    await this.renewal;
  }

  private async rotate(stale: string): Promise<void> {
    try {
      await this.turn(stale);
      const before = this.kept;
      if (before?.access === stale) await this.exchange(before);
    } finally {
      this.claim = null;
    }
  }

  private async exchange(before: Kept): Promise<void> {
    this.claim = RENEWING;
    try {
      const tokens = await this.post<Tokens>("/auth/refresh", { refresh_token: before.refresh });
      if (this.kept === before) this.replace(before, tokens);
    } catch (error) {
      // Only a refusal ends the login; a server that is away or fails does not.
      if (error instanceof Problem && error.status === 401 && this.kept === before) this.forget();
      this.say({ login: before.login, tells: "failed" });
      throw error;
    }
  }

  /**
   * Returns when it is this tab's turn to renew `stale`, or when a twin's newer tokens have come. Twins need to be
   * asked even under the lock: a tab that slept did not hear what they said meanwhile.
   */
  private async turn(stale: string): Promise<void> {
    if (!this.around.channel) return;
    while (this.kept?.access === stale) {
      const { login, generation } = this.kept;
      this.yielded = false;
      this.claim = Math.random();
      this.say({ login, tells: "claim", generation, claim: this.claim });
      await this.news(TWINS_MS);
      if (!this.yielded) return;
      this.claim = null;
      if (this.kept?.access === stale) await this.news(this.answer_ms + TWINS_MS);
    }
  }

  /** Waits for what changes this tab's turn. */
  private news(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Runs `work` while no other tab of this browser does, where the browser can promise that. */
  private alone(work: () => Promise<void>): Promise<void> {
    const { locks } = this.around;
    if (!locks) return work();
    return new Promise((resolve, reject) => {
      // The lock passes on whatever came of the work.
      void locks.request(KEY, () => work().then(resolve, reject));
    });
  }

  private heard(news: News | null): void {
    const { kept } = this;
    if (!kept || news?.login !== kept.login) return;
    switch (news.tells) {
      case "tokens":
        if (news.kept.generation <= kept.generation) return;
        this.keep(news.kept);
        if (news.kept.must_change_password !== kept.must_change_password) this.tell();
        break;
      case "claim":
        if (news.generation < kept.generation) return this.say({ login: kept.login, tells: "tokens", kept });
        if (this.claim === null || news.generation > kept.generation) return;
        if (news.claim > this.claim) {
          const { login, generation } = kept;
          return this.say({ login, tells: "claim", generation, claim: this.claim });
        }
        this.yielded = true;
        break;
      case "ended":
        this.forget();
    }
    this.wake();
  }

  private say(news: News): void {
    this.around.channel?.postMessage(news);
  }

  private replace(before: Kept, tokens: Tokens): void {
    const kept = { ...before, ...named(tokens, this.around.now()), generation: before.generation + 1 };
    this.keep(kept);
    this.say({ login: kept.login, tells: "tokens", kept });
  }

  private keep(kept: Kept): void {
    this.kept = kept;
    try {
      this.around.storage?.setItem(KEY, JSON.stringify(kept));
    } catch {
      // A browser that keeps nothing forgets the login with the page.
    }
  }

  private forget(): void {
    this.kept = null;
    this.around.storage?.removeItem(KEY);
    this.tell();
  }

  private get answer_ms(): number {
    return this.around.answer_ms ?? ANSWER_MS;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private async post<T = void>(path: string, body: unknown, bearer?: string): Promise<T> {
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (bearer) headers["authorization"] = `Bearer ${bearer}`;
    let reply: Response;
    try {
      const signal = AbortSignal.timeout(this.answer_ms);
      reply = await this.around.fetch(this.base + path, { method: "POST", headers, body: JSON.stringify(body), signal });
    } catch {
      throw new Problem(0, "no answer", "");
    }
    if (!reply.ok) throw await Problem.of(reply);
    try {
      return (reply.status === 204 ? undefined : await reply.json()) as T;
    } catch {
      throw new Problem(0, "unreadable answer", "");
    }
  }
}

function named(tokens: Tokens, now_ms: number): Pick<Kept, "access" | "refresh" | "expires_ms" | "must_change_password"> {
  return {
    access: tokens.access_token,
    refresh: tokens.refresh_token,
    expires_ms: now_ms + tokens.expires_in_s * 1000,
    must_change_password: tokens.must_change_password,
  };
}

function signedOut(): Problem {
  return new Problem(401, "not signed in", "");
}

function parse(text: string | null): Kept | null {
  try {
    const kept = JSON.parse(text ?? "null") as Kept | null;
    const whole = [kept?.login, kept?.account, kept?.access, kept?.refresh].every((each) => typeof each === "string");
    return whole && Number.isFinite(kept?.expires_ms) && Number.isInteger(kept?.generation) ? kept : null;
  } catch {
    return null;
  }
}
