// What went wrong with a request, as the server's RFC 9457 envelope says it, or as the network does.

/** A request without an answer after this time has failed: a connection may hang half open for hours. */
export const ANSWER_MS = 30_000;

/** A failed request. `status` 0 means that no answer came. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly type = "about:blank",
  ) {
    super(detail || title);
    this.name = "Problem";
  }

  /** Reads the envelope from a reply that is not 2xx; a reply without one is named by its status. */
  static async of(reply: Response): Promise<Problem> {
    const title = reply.statusText || `HTTP ${reply.status}`;
    if (!/^application\/(problem\+)?json\b/.test(reply.headers.get("content-type") ?? "")) {
      return new Problem(reply.status, title, "");
    }
    try {
      const body = (await reply.json()) as Record<string, unknown>;
      const text = (key: string, fallback: string) => (typeof body[key] === "string" ? body[key] : fallback);
      return new Problem(reply.status, text("title", title), text("detail", ""), text("type", "about:blank"));
    } catch {
      return new Problem(reply.status, title, "");
    }
  }

  /** Whether trying the same again may help: no answer, throttled, or a server that is busy or restarting. */
  get transient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
