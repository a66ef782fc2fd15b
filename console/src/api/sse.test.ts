import { describe, expect, it } from "vitest";

import { SseParser } from "./sse";

function parse(...pieces: string[]) {
  const parser = new SseParser();
  return pieces.flatMap((piece) => parser.push(piece));
}

describe("the event stream parser", () => {
  it("reads named events, comments and data of several lines", () => {
    expect(parse(": keep-alive\n\nevent: position\ndata: {\ndata: }\n\ndata:x\n\n")).toEqual([
      { event: "position", data: "{\n}" },
      { event: "message", data: "x" },
    ]);
  });

  it("gives the same wherever the bytes are cut, with every kind of line end", () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      const text = ["event: alarm", 'data: {"a":1}', "", ": keep-alive", "", "event: lagged", 'data: {"missed":3}', "", ""].join(end);
      const whole = parse(text, "\n");
      expect(whole.map(({ event }) => event)).toEqual(["alarm", "lagged"]);
      for (let cut = 1; cut < text.length; cut++) {
        expect(parse(text.slice(0, cut), text.slice(cut), "\n")).toEqual(whole);
      }
      expect(parse(...text, "\n")).toEqual(whole);
    }
  });

  it("gives an event without data only where it has a name", () => {
    expect(parse("event: lagged\n\n\n\n")).toEqual([{ event: "lagged", data: "" }]);
  });

  it("waits for the end of an event", () => {
    expect(parse("event: position\ndata: 1\n")).toEqual([]);
  });

  it("gives up on a line without end", () => {
    const parser = new SseParser();
    expect(() => {
      for (let n = 0; n < 40; n++) parser.push("x".repeat(65_536));
    }).toThrow("too long");
  });
});
