// One attempt to play one stream into one <video>: WS-FLV, HTTP-FLV, then HLS. Libraries load on first use.
// FLV over WebSocket goes first: browsers allow six HTTP/1.1 connections to a host, and a wall has more tiles.

import type { LiveUrls } from "../api/types";
import { flvFailure, hlsFailure, PlayError, TOLD } from "./failure";

/** A terminal takes seconds to dial in and to send its first key frame. */
const FIRST_PICTURE_MS = 20_000;
const STALL_MS = 12_000;
const WATCH_EVERY_MS = 1_000;
/** A stream costs the vehicle's mobile data: behind other windows it ends after this long. */
const HIDDEN_MAX_MS = 5 * 60_000;
/** Further behind than this (a hidden tab, a slow moment), playback jumps to the newest picture. */
const BEHIND_MAX_S = 6;

export interface Source {
  /** Rejects when the source fails; never resolves. */
  failed: Promise<never>;
  close: () => void;
}

/** Rejects, and has opened nothing, where `signal` has come meanwhile. */
export type Open = (video: HTMLVideoElement, urls: LiveUrls, signal: AbortSignal) => Promise<Source>;

/** Plays until `signal` (then resolves) or until every way has failed (then rejects with the last PlayError). */
export async function play(
  video: HTMLVideoElement,
  urls: LiveUrls,
  onPicture: () => void,
  signal: AbortSignal,
  ways: readonly Open[] = WAYS,
): Promise<void> {
  let last = new PlayError("unsupported");
  for (const open of ways) {
    if (signal.aborted) return;
    try {
      await attempt(open, video, urls, onPicture, signal);
      return;
    } catch (error) {
      last = error instanceof PlayError ? error : new PlayError("lost", String(error));
      // What has played once is a stream that works: its loss is a matter for a new ticket, not another way.
      // Nor does another way bring what the media server has just refused, or the terminal does not send.
      if (last.played || TOLD.has(last.failure)) throw last;
    }
  }
  throw last;
}

async function attempt(
  open: Open,
  video: HTMLVideoElement,
  urls: LiveUrls,
  onPicture: () => void,
  signal: AbortSignal,
): Promise<void> {
  const source = await open(video, urls, signal);
  let pictures = false;
  let timer: ReturnType<typeof setInterval> | undefined;
  let onAbort = () => {};
  try {
    const aborted = new Promise<void>((resolve) => {
      onAbort = () => resolve();
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) resolve();
    });
    const watched = new Promise<never>((_, reject) => {
      const opened = performance.now();
      let moved = opened;
      let time = video.currentTime;
      let hidden: number | null = null;
      timer = setInterval(() => {
        const now = performance.now();
        // A hidden tab is throttled and may be paused by the browser: it is caught up with, for a while.
        if (document.hidden) {
          moved = now;
          hidden ??= now;
          if (now - hidden > HIDDEN_MAX_MS) reject(new PlayError("hidden"));
          return;
        }
        hidden = null;
        catchUp(video);
        if (video.currentTime !== time && video.videoWidth > 0) {
          time = video.currentTime;
          moved = now;
          if (!pictures) onPicture();
          pictures = true;
        } else if (!pictures && now - opened > FIRST_PICTURE_MS) {
          reject(new PlayError("noPicture"));
        } else if (pictures && now - moved > STALL_MS) {
          reject(new PlayError("stalled"));
        }
      }, WATCH_EVERY_MS / 4);
    });
    await Promise.race([aborted, watched, source.failed]);
  } catch (error) {
    throw error instanceof PlayError && pictures ? error.afterPictures() : error;
  } finally {
    clearInterval(timer);
    signal.removeEventListener("abort", onAbort);
    source.close();
    video.removeAttribute("src");
    video.load();
  }
}

function catchUp(video: HTMLVideoElement): void {
  const { buffered } = video;
  if (buffered.length === 0) return;
  const start = buffered.start(buffered.length - 1);
  const end = buffered.end(buffered.length - 1);
  if (end - video.currentTime > BEHIND_MAX_S) video.currentTime = Math.max(start, end - 0.5);
  else if (video.currentTime < start) video.currentTime = start + 0.01;
  if (video.paused) void video.play().catch(() => undefined);
}

function flv(pick: (urls: LiveUrls) => string): Open {
  return async (video, urls, signal) => {
    const { default: mpegts } = await import("mpegts.js");
    signal.throwIfAborted();
    if (!mpegts.isSupported()) throw new PlayError("unsupported");
    mpegts.LoggingControl.enableAll = false;
    const player = mpegts.createPlayer(
      { type: "flv", isLive: true, url: pick(urls) },
      {
        enableStashBuffer: false,
        liveSync: true,
        liveSyncMaxLatency: 2.5,
        liveSyncTargetLatency: 0.8,
        autoCleanupSourceBuffer: true,
        autoCleanupMaxBackwardDuration: 30,
        autoCleanupMinBackwardDuration: 15,
      },
    );
    const failed = new Promise<never>((_, reject) => {
      player.on(mpegts.Events.ERROR, (kind: string, detail: string, info?: { code?: number; msg?: string }) =>
        reject(new PlayError(flvFailure(kind, info?.code), info?.msg ?? detail)),
      );
      player.on(mpegts.Events.LOADING_COMPLETE, () => reject(new PlayError(video.videoWidth ? "ended" : "lost")));
    });
    failed.catch(() => undefined);
    player.attachMediaElement(video);
    player.load();
    void Promise.resolve(player.play()).catch(() => undefined);
    return {
      failed,
      close: () => {
        try {
          player.destroy();
        } catch {
          // A player whose source has failed may already be half gone.
        }
      },
    };
  };
}

const hls: Open = async (video, urls, signal) => {
  const { default: Hls } = await import("hls.js/light");
  signal.throwIfAborted();
  if (!Hls.isSupported()) {
    if (!video.canPlayType("application/vnd.apple.mpegurl")) throw new PlayError("unsupported");
    video.src = urls.hls;
    void video.play().catch(() => undefined);
    const closed = new AbortController();
    const failed = new Promise<never>((_, reject) => {
      const fail = () => reject(new PlayError("lost", video.error?.message));
      video.addEventListener("error", fail, { signal: closed.signal });
    });
    return { failed, close: () => closed.abort() };
  }
  const player = new Hls({ liveSyncDurationCount: 2, liveMaxLatencyDurationCount: 6, backBufferLength: 15 });
  const failed = new Promise<never>((_, reject) => {
    player.on(Hls.Events.ERROR, (_event, data) => {
      if (data.fatal) reject(new PlayError(hlsFailure(data.details, data.response?.code), data.details));
    });
  });
  failed.catch(() => undefined);
  player.loadSource(urls.hls);
  player.attachMedia(video);
  void video.play().catch(() => undefined);
  return { failed, close: () => player.destroy() };
};

const WAYS: readonly Open[] = [flv((urls) => urls.ws_flv), flv((urls) => urls.http_flv), hls];
