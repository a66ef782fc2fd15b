// A track chosen by its time range and replayed on the map.

import { createMemo, createSignal, For, onCleanup, Show, type JSX } from "solid-js";

import { isAbort } from "../api/problem";
import { useConsole } from "../console";
import { duration, number, t, time } from "../i18n";
import { Icon } from "../ui/icons";
import { Empty, Failed, Loading } from "../ui/notice";
import { askable, local, PRESETS, type Range } from "./range";
import { advance, Track } from "./replay";

/** A day at one report a second; more is cut and said. */
const POINTS_MAX = 86_400;
const SPEEDS = [1, 10, 30, 60, 300];
const BUCKETS = 160;

export function TrackView(props: { vehicle: number }): JSX.Element {
  const { client, map, selected, setFollowing } = useConsole();
  const [range, setRange] = createSignal<Range>(PRESETS["track.today"](new Date()));
  const [track, setTrack] = createSignal<Track | null>(null);
  const [complete, setComplete] = createSignal(true);
  const [loading, setLoading] = createSignal<number | null>(null);
  const [error, setError] = createSignal<unknown>(null);
  const [moment, setMoment] = createSignal(0);
  const [speed, setSpeed] = createSignal(30);
  const [playing, setPlaying] = createSignal(false);
  let asked: AbortController | null = null;
  let frame = 0;

  const load = async (wanted: Range) => {
    asked?.abort();
    pause();
    setRange(wanted);
    setTrack(null);
    map()?.showTrack(null);
    setError(null);
    if (!askable(wanted)) {
      setLoading(null);
      return;
    }
    const mine = (asked = new AbortController());
    setLoading(0);
    try {
      const { points, complete } = await client.track(props.vehicle, wanted.from, wanted.to, POINTS_MAX, mine.signal, setLoading);
      const made = new Track(points);
      setComplete(complete);
      setTrack(made);
      map()?.showTrack(made);
      seek(made.start_ms);
    } catch (problem) {
      if (!isAbort(problem)) setError(problem);
    } finally {
      if (asked === mine) setLoading(null);
    }
  };
  const seek = (ms: number) => {
    setMoment(ms);
    map()?.showMoment(track()?.moment(ms) ?? null);
  };
  const pause = () => {
    setPlaying(false);
    cancelAnimationFrame(frame);
  };
  const playFrom = (last: number) => {
    frame = requestAnimationFrame((now) => {
      const current = track();
      if (!current || !playing()) return;
      const { ms, ended } = advance(current, moment(), now - last, speed());
      seek(ms);
      if (ended) pause();
      else playFrom(now);
    });
  };
  const toggle = () => {
    const current = track();
    if (!current) return;
    if (playing()) return pause();
    if (moment() >= current.end_ms) seek(current.start_ms);
    setPlaying(true);
    playFrom(performance.now());
  };
  onCleanup(() => {
    asked?.abort();
    cancelAnimationFrame(frame);
    map()?.showTrack(null);
    // Back from the past, to where the vehicle is now.
    if (selected() === props.vehicle) setFollowing(true);
  });
  void load(range());

  const here = createMemo(() => track()?.moment(moment()) ?? null);

  return (
    <div class="stack">
      <div class="presets">
        <For each={Object.entries(PRESETS)}>
          {([key, preset]) => (
            <button type="button" class="button small" onClick={() => void load(preset(new Date()))}>
              {t(key as keyof typeof PRESETS)}
            </button>
          )}
        </For>
      </div>
      <form
        class="range"
        onSubmit={(event) => {
          event.preventDefault();
          void load(range());
        }}
      >
        <label>
          {t("track.from")}
          <input
            type="datetime-local"
            step="1"
            value={local(range().from)}
            onChange={(event) => setRange({ ...range(), from: new Date(event.currentTarget.value) })}
            data-testid="track-from"
          />
        </label>
        <label>
          {t("track.to")}
          <input
            type="datetime-local"
            step="1"
            value={local(range().to)}
            onChange={(event) => setRange({ ...range(), to: new Date(event.currentTarget.value) })}
            data-testid="track-to"
          />
        </label>
        <button class="button primary" data-testid="track-load" disabled={!askable(range())}>
          {t("track.load")}
        </button>
      </form>
      <Show when={!askable(range())}>
        <p class="warn" role="alert">
          {t("track.badRange")}
        </p>
      </Show>
      <Show when={error()}>{(problem) => <Failed error={problem()} retry={() => void load(range())} />}</Show>
      <Show when={loading() !== null}>
        <Loading />
        <p class="quiet center">{t("track.loading", { points: number(loading() ?? 0) })}</p>
      </Show>
      <Show when={track()}>
        {(current) => (
          <Show when={!current().empty} fallback={<Empty title={t("track.empty")} />}>
            <Show when={!complete()}>
              <p class="warn">{t("track.truncated", { points: number(current().points.length) })}</p>
            </Show>
            <div class="replay" data-testid="replay">
              <div class="replay-head">
                <button
                  type="button"
                  class="round"
                  onClick={toggle}
                  aria-label={playing() ? t("track.pause") : t("track.play")}
                  data-testid="track-play"
                >
                  <Icon name={playing() ? "pause" : "play"} size={20} />
                </button>
                <div>
                  <div class="replay-time" data-testid="track-time">
                    {time(moment())}
                  </div>
                  <div class="quiet">
                    {here()?.known ? `${number(here()?.speed_kmh ?? 0)} ${t("unit.kmh")}` : "–"}
                  </div>
                </div>
                <span class="spring" />
                <select
                  class="plain-select"
                  aria-label={t("track.speed")}
                  value={speed()}
                  onChange={(event) => setSpeed(Number(event.currentTarget.value))}
                >
                  <For each={SPEEDS}>
                    {(each) => (
                      <option value={each} selected={each === speed()}>
                        {each}×
                      </option>
                    )}
                  </For>
                </select>
              </div>
              <Profile track={current()} moment={moment()} />
              <input
                class="slider"
                type="range"
                min={current().start_ms}
                max={Math.max(current().end_ms, current().start_ms + 1)}
                step="1"
                value={moment()}
                aria-label={t("track.time")}
                aria-valuetext={time(moment())}
                onInput={(event) => seek(Number(event.currentTarget.value))}
                data-testid="track-slider"
              />
              <div class="replay-ends quiet">
                <span>{time(current().start_ms)}</span>
                <span>{time(current().end_ms)}</span>
              </div>
            </div>
            <dl class="sums">
              <div>
                <dt>{t("track.distance")}</dt>
                <dd>
                  {number(current().distance_km, 1)} {t("unit.km")}
                </dd>
              </div>
              <div>
                <dt>{t("track.duration")}</dt>
                <dd>{duration(current().end_ms - current().start_ms)}</dd>
              </div>
              <div>
                <dt>{t("track.max")}</dt>
                <dd>
                  {number(current().top_kmh)} {t("unit.kmh")}
                </dd>
              </div>
              <div>
                <dt>{t("track.points")}</dt>
                <dd>{number(current().points.length)}</dd>
              </div>
            </dl>
          </Show>
        )}
      </Show>
    </div>
  );
}

/** Speed over time, behind the slider. */
function Profile(props: { track: Track; moment: number }): JSX.Element {
  const bars = createMemo(() => {
    const top = Math.max(props.track.top_kmh, 1);
    return props.track.profile(BUCKETS).map((value) => (value === null ? 0 : 4 + (value / top) * 44));
  });
  const path = () => bars().map((h, n) => (h ? `M${n + 0.5} 48v${-h}` : "")).join("");
  const share = () =>
    (props.moment - props.track.start_ms) / Math.max(1, props.track.end_ms - props.track.start_ms);
  return (
    <svg class="profile" viewBox={`0 0 ${BUCKETS} 48`} preserveAspectRatio="none" aria-hidden="true">
      <path d={path()} class="profile-bars" />
      <path d={`M${share() * BUCKETS} 0v48`} class="profile-now" />
    </svg>
  );
}
