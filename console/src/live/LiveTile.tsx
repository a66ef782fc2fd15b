// One channel: started and stopped by a person, kept alive in between with a fresh ticket and back-off.

import { createEffect, createSignal, on, onCleanup, Show, type JSX } from "solid-js";

import { pause } from "../api/events";
import { Problem, isAbort } from "../api/problem";
import type { Profile } from "../api/types";
import { useConsole, words } from "../console";
import { t } from "../i18n";
import { IconButton } from "../ui/controls";
import { Icon } from "../ui/icons";
import { PlayError } from "./failure";
import { play } from "./player";

const BACKOFF_S = [1, 2, 4, 8, 15];

type Stage =
  | { name: "idle" }
  | { name: "asking" }
  | { name: "opening" }
  | { name: "playing" }
  | { name: "waiting"; why: string; seconds: number }
  | { name: "failed"; why: string };

interface Props {
  vehicle: number;
  terminal: number;
  channel: number;
  name: string;
  profile: Profile;
  /** Its terminal has a link. */
  online: boolean;
  /** Start or stop, asked of all tiles at once. */
  all: { run: boolean } | null;
  /** Takes the width of the wall. */
  large: boolean;
  onLarge: () => void;
}

export function LiveTile(props: Props): JSX.Element {
  const { client } = useConsole();
  const [stage, setStage] = createSignal<Stage>({ name: "idle" });
  const [muted, setMuted] = createSignal(true);
  let video!: HTMLVideoElement;
  let tile!: HTMLDivElement;
  let running: AbortController | null = null;

  const start = () => {
    if (running) return;
    running = new AbortController();
    void run(running.signal);
  };
  const stop = () => {
    running?.abort();
    running = null;
    setStage({ name: "idle" });
  };
  const run = async (signal: AbortSignal) => {
    let why = "";
    for (let failures = 0; !signal.aborted; ) {
      const show = (next: Stage) => !signal.aborted && setStage(next);
      // Who is not there, or not looked at, is not asked.
      while (!signal.aborted && (!props.online || document.hidden)) {
        show({ name: "waiting", why: props.online ? why : t("live.offline"), seconds: 0 });
        await pause(1_000, signal);
      }
      try {
        show({ name: "asking" });
        const { urls, av } = await client.live(props.vehicle, props.terminal, props.channel, props.profile, signal);
        show({ name: "opening" });
        codec = av?.video_codec ?? null;
        const onPicture = () => {
          failures = 0;
          show({ name: "playing" });
        };
        await play(video, urls, onPicture, signal);
      } catch (error) {
        if (signal.aborted || isAbort(error)) return;
        why = explain(error);
        if (final(error)) {
          show({ name: "failed", why });
          running = null;
          return;
        }
        const wait = BACKOFF_S[Math.min(failures++, BACKOFF_S.length - 1)] as number;
        for (let seconds = wait; seconds > 0 && !signal.aborted; seconds--) {
          show({ name: "waiting", why, seconds });
          await pause(1_000, signal);
        }
      }
    }
  };
  let codec: string | null = null;
  const explain = (error: unknown) => {
    if (!(error instanceof PlayError)) return words(error);
    return t(`live.${error.failure}`, { codec: codec?.toUpperCase() ?? error.detail });
  };

  createEffect(
    on(
      () => props.all,
      (all) => all && (all.run ? start() : stop()),
      { defer: true },
    ),
  );
  createEffect(
    on(
      () => props.profile,
      () => {
        if (!running) return;
        stop();
        start();
      },
      { defer: true },
    ),
  );
  onCleanup(stop);

  const busy = () => ["asking", "opening", "waiting"].includes(stage().name);
  const why = () => {
    const now = stage();
    return now.name === "failed" || now.name === "waiting" ? now.why : "";
  };
  const step = () => {
    const now = stage();
    if (now.name === "asking") return t("live.asking");
    if (now.name === "opening") return t("live.opening");
    return now.name === "waiting" && now.seconds > 0 ? t("live.retry", { seconds: now.seconds }) : "";
  };
  const title = () => props.name || t("live.channel", { n: props.channel });

  return (
    <div class="tile" classList={{ large: props.large }} ref={tile} data-testid={`tile-${props.channel}`} data-stage={stage().name}>
      <video
        ref={video}
        muted={muted()}
        playsinline
        aria-label={t("live.video", { n: props.channel })}
        data-testid={`video-${props.channel}`}
        data-channel={props.channel}
        onDblClick={() => void tile.requestFullscreen?.()}
      />
      <Show when={stage().name === "idle"}>
        <button
          type="button"
          class="tile-start"
          disabled={!props.online}
          onClick={start}
          aria-label={`${t("live.start")}: ${title()}`}
          data-testid={`live-start-${props.channel}`}
        >
          <span class="tile-play">
            <Icon name="play" size={24} />
          </span>
        </button>
      </Show>
      <Show when={busy() || why()}>
        <div class="tile-message" data-testid={`live-message-${props.channel}`}>
          <Show when={busy()}>
            <span class="spinner" />
          </Show>
          <p role="status">{why()}</p>
          <p>{step()}</p>
          <Show when={stage().name === "failed"}>
            <button type="button" class="button" onClick={start}>
              {t("app.retry")}
            </button>
          </Show>
        </div>
      </Show>
      <div class="tile-bar">
        <span class="tile-name">
          <Show when={stage().name === "playing"}>
            <span class="live-dot" />
          </Show>
          {title()}
        </span>
        <span class="spring" />
        <Show when={stage().name !== "idle"}>
          <IconButton
            class="tile-button"
            size={16}
            icon={muted() ? "mute" : "sound"}
            label={muted() ? t("live.sound.on") : t("live.sound.off")}
            pressed={!muted()}
            onClick={() => setMuted(!muted())}
          />
          <IconButton
            class="tile-button"
            size={16}
            icon={props.large ? "minus" : "plus"}
            label={props.large ? t("live.smaller") : t("live.larger")}
            pressed={props.large}
            onClick={() => props.onLarge()}
          />
          <IconButton
            class="tile-button"
            size={16}
            icon="fullscreen"
            label={t("live.fullscreen")}
            onClick={() => void tile.requestFullscreen?.()}
          />
          <IconButton
            class="tile-button"
            size={16}
            icon="stop"
            label={t("live.stop")}
            about={title()}
            onClick={stop}
            testid={`live-stop-${props.channel}`}
          />
        </Show>
      </div>
    </div>
  );
}

/** Trying again cannot help: no right, no such channel, a codec that the browser does not have. */
function final(error: unknown): boolean {
  if (error instanceof PlayError) return error.failure === "unsupported";
  return error instanceof Problem && !error.transient && error.status !== 409;
}
