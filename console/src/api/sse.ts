// Server-sent events from bytes: the parser alone, so that a stream can be read with a bearer token
// (EventSource sends none).

export interface ServerEvent {
  event: string;
  data: string;
}

/** A line longer than this is no event of ours; the stream is given up instead of filling the memory. */
const LINE_MAX = 1 << 20;

/** Takes text in pieces as they arrive and gives the events that they complete. */
export class SseParser {
  private rest = "";
  private event = "";
  private data: string[] = [];
  /** The piece before ended in CR: a LF that starts the next one belongs to it. */
  private afterCr = false;

  push(piece: string): ServerEvent[] {
    let text = piece;
    if (this.afterCr && text.startsWith("\n")) text = text.slice(1);
    this.afterCr = piece.length === 0 ? this.afterCr : piece.endsWith("\r");
    const lines = (this.rest + text).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    if (this.rest.length > LINE_MAX) throw new Error("event line too long");
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = this.line(line);
      if (event) events.push(event);
    }
    return events;
  }

  private line(line: string): ServerEvent | null {
    if (line === "") {
      const event = { event: this.event || "message", data: this.data.join("\n") };
      const empty = this.data.length === 0;
      this.event = "";
      this.data = [];
      // `lagged` may come without data.
      return empty && event.event === "message" ? null : event;
    }
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    return null;
  }
}
