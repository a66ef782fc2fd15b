import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { LiveUrls } from "../api/types";
import { flvFailure, hlsFailure, PlayError, type Failure } from "./failure";
import { play, type Open } from "./player";

const urls: LiveUrls = { http_flv: "", ws_flv: "", hls: "" };

/** A video whose pictures move while `moving`. */
function screen() {
  const video = { currentTime: 0, videoWidth: 0, paused: false, buffered: { length: 0 }, removeAttribute: vi.fn(), load: vi.fn() };
  const show = (ms: number) => {
    video.videoWidth = 640;
    const timer = setInterval(() => (video.currentTime += 0.1), 100);
    setTimeout(() => clearInterval(timer), ms);
  };
  return { video: video as unknown as HTMLVideoElement, freed: video.load, show };
}

/** A way to play that fails so after `ms`, or never. */
function way(failure?: Failure, ms = 0) {
  const close = vi.fn();
  const opened = vi.fn();
  const open: Open = () => {
    opened();
    const failed = new Promise<never>((_, reject) => {
      if (failure) setTimeout(() => reject(new PlayError(failure)), ms);
    });
    failed.catch(() => undefined);
    return Promise.resolve({ failed, close });
  };
  return { open, opened, close };
}

describe("an attempt to play", () => {
  const page = { hidden: false };
  const onPicture = vi.fn();
  let stop: AbortController;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("document", page);
    page.hidden = false;
    onPicture.mockClear();
    stop = new AbortController();
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  const start = (video: HTMLVideoElement, ...ways: { open: Open }[]) => {
    const played = play(video, urls, onPicture, stop.signal, ways.map(({ open }) => open));
    const end = { of: undefined as unknown };
    played.then(
      () => (end.of = "stopped"),
      (error: unknown) => (end.of = error),
    );
    return end;
  };

  it("tries the next way where one fails, and frees each", async () => {
    const [first, second] = [way("lost"), way()];
    const { video, show, freed } = screen();
    const end = start(video, first, second);
    await vi.advanceTimersByTimeAsync(10);
    expect(first.close).toHaveBeenCalledOnce();
    show(1_000);
    await vi.advanceTimersByTimeAsync(500);
    expect(onPicture).toHaveBeenCalledOnce();
    stop.abort();
    await vi.advanceTimersByTimeAsync(1);
    expect(end.of).toBe("stopped");
    expect(second.close).toHaveBeenCalledOnce();
    expect(freed).toHaveBeenCalledTimes(2);
  });

  it("asks no other player where the media server has said why", async () => {
    for (const failure of ["taken", "refused", "away", "forbidden", "noPicture"] as const) {
      const other = way();
      const end = start(screen().video, way(failure), other);
      await vi.advanceTimersByTimeAsync(10);
      expect(end.of).toMatchObject({ failure, played: false });
      expect(other.opened).not.toHaveBeenCalled();
    }
  });

  it("takes what cannot be decoded for a missing codec only before the first picture", async () => {
    const fresh = start(screen().video, way("unsupported"), way("unsupported"));
    await vi.advanceTimersByTimeAsync(10);
    expect(fresh.of).toMatchObject({ failure: "unsupported", played: false });
    const { video, show } = screen();
    const end = start(video, way("unsupported", 3_000), way());
    show(5_000);
    await vi.advanceTimersByTimeAsync(3_100);
    expect(end.of).toMatchObject({ failure: "broken", played: true });
  });

  it("gives up without a picture, and when the picture stands still", async () => {
    const none = start(screen().video, way(), way());
    await vi.advanceTimersByTimeAsync(21_000);
    expect(none.of).toMatchObject({ failure: "noPicture" });
    const { video, show } = screen();
    const still = start(video, way());
    show(1_000);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(still.of).toBeUndefined();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(still.of).toMatchObject({ failure: "stalled", played: true });
  });

  it("goes on behind other windows for a while only", async () => {
    const { video, show } = screen();
    const end = start(video, way());
    show(1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    page.hidden = true;
    await vi.advanceTimersByTimeAsync(4 * 60_000);
    expect(end.of).toBeUndefined();
    await vi.advanceTimersByTimeAsync(61_000);
    expect(end.of).toMatchObject({ failure: "hidden" });
  });

  it("opens nothing for who has left while the player was loading", async () => {
    const late = way();
    const end = start(screen().video, { open: async (video, given, signal) => {
      await new Promise((resolve) => setTimeout(resolve, 100));
      signal.throwIfAborted();
      return late.open(video, given, signal);
    } }, late);
    stop.abort();
    await vi.advanceTimersByTimeAsync(200);
    expect(end.of).not.toBeUndefined();
    expect(late.opened).not.toHaveBeenCalled();
  });
});

describe("a failure", () => {
  it("is told by the media server's status", () => {
    expect([401, 403, 409, 502, 503, 504, 500, undefined].map((status) => flvFailure("NetworkError", status))).toEqual([
      ...["forbidden", "forbidden", "taken", "refused", "away", "noPicture", "lost", "lost"],
    ]);
    expect(hlsFailure("manifestLoadError", 409)).toBe("taken");
    expect(hlsFailure("bufferAddCodecError")).toBe("unsupported");
    expect(flvFailure("MediaError")).toBe("unsupported");
  });
});
