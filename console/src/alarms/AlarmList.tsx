// Alarms, newest first: what lasts, what waits for somebody, everything.

import { createEffect, createSignal, For, on, onCleanup, Show, type JSX } from "solid-js";

import { isAbort } from "../api/problem";
import type { Alarm } from "../api/types";
import { may, useConsole, words } from "../console";
import { alarmName, duration, t, time } from "../i18n";
import { Icon } from "../ui/icons";
import { Empty, Failed, Loading } from "../ui/notice";

const VIEWS = ["active", "open", "all"] as const;
type View = (typeof VIEWS)[number];

const PAGE = 50;
/** A storm of alarm events reloads the list this often, not more. */
const RELOAD_MS = 2_000;

export function AlarmList(): JSX.Element {
  const { client, fleet } = useConsole();
  const [view, setView] = createSignal<View>("active");
  const [alarms, setAlarms] = createSignal<Alarm[] | null>(null);
  const [cursor, setCursor] = createSignal<string | null>(null);
  const [error, setError] = createSignal<unknown>(null);
  let asked: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const query = () => ({
    active: view() === "active" ? true : undefined,
    handled: view() === "open" ? false : undefined,
  });
  const load = async (more: boolean) => {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const after = more ? (cursor() ?? undefined) : undefined;
      const limit = more ? PAGE : Math.min(500, Math.max(PAGE, alarms()?.length ?? 0));
      const page = await client.alarms({ ...query(), limit, cursor: after }, mine.signal);
      setAlarms((before) => (more ? [...(before ?? []), ...page.items] : page.items));
      setCursor(page.next_cursor);
      setError(null);
    } catch (problem) {
      if (!isAbort(problem)) setError(problem);
    }
  };
  createEffect(
    on(view, () => {
      setAlarms(null);
      void load(false);
    }),
  );
  createEffect(
    on(
      fleet.alarmVersion,
      () => {
        timer ??= setTimeout(() => {
          timer = undefined;
          void load(false);
        }, RELOAD_MS);
      },
      { defer: true },
    ),
  );
  onCleanup(() => {
    asked?.abort();
    clearTimeout(timer);
  });

  return (
    <>
      <div class="side-head">
        <div class="segments" role="group" aria-label={t("alarms.title")}>
          <For each={VIEWS}>
            {(name) => (
              <button type="button" aria-pressed={view() === name} onClick={() => setView(name)} data-testid={`alarms-${name}`}>
                {t(`alarms.${name}`)}
              </button>
            )}
          </For>
        </div>
      </div>
      <div class="side-body" data-testid="alarm-list">
        <Show when={error()}>{(problem) => <Failed error={problem()} retry={() => void load(false)} />}</Show>
        <Show when={alarms() === null && !error()}>
          <Loading />
        </Show>
        <Show when={alarms()?.length === 0}>
          <Empty title={t(`alarms.none.${view()}`)} />
        </Show>
        <ul class="cards">
          <For each={alarms() ?? []}>{(alarm) => <AlarmCard alarm={alarm} onChange={() => void load(false)} />}</For>
        </ul>
        <Show when={cursor()}>
          <button type="button" class="button block" onClick={() => void load(true)}>
            {t("app.more")}
          </button>
        </Show>
      </div>
    </>
  );
}

function AlarmCard(props: { alarm: Alarm; onChange: () => void }): JSX.Element {
  const { client, me, select } = useConsole();
  const [writing, setWriting] = createSignal(false);
  const [busy, setBusy] = createSignal(false);
  const [message, setMessage] = createSignal("");
  let note!: HTMLInputElement;

  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setMessage("");
    try {
      await work();
      setWriting(false);
      props.onChange();
    } catch (error) {
      setMessage(words(error));
    } finally {
      setBusy(false);
    }
  };
  const when = () => {
    const { start, end } = props.alarm;
    if (!end) return t("alarms.since", { time: time(start) });
    return t("alarms.lasted", { time: time(start), duration: duration(Date.parse(end) - Date.parse(start)) });
  };

  return (
    <li class="alarm" classList={{ lasting: !props.alarm.end }} data-testid={`alarm-${props.alarm.id}`}>
      <button
        type="button"
        class="alarm-main"
        disabled={props.alarm.vehicle_id === null}
        onClick={() => select(props.alarm.vehicle_id)}
        title={t("alarms.show")}
      >
        <span class="alarm-kind">{alarmName(props.alarm.kind)}</span>
        <span class="alarm-plate">{props.alarm.plate ?? "–"}</span>
        <span class="quiet">{when()}</span>
      </button>
      <Show when={props.alarm.handling}>
        {(handling) => (
          <p class="handled">
            <Icon name="check" size={14} />
            {t("alarms.handled", { time: time(handling().handled_at), name: handling().handled_by_name ?? "–" })}
            <Show when={handling().note}>
              <q>{handling().note}</q>
            </Show>
          </p>
        )}
      </Show>
      <Show when={may(me, "handle_alarms")}>
        <Show
          when={!writing()}
          fallback={
            <form
              class="note"
              onSubmit={(event) => {
                event.preventDefault();
                void act(() => client.handleAlarm(props.alarm.id, note.value.trim()));
              }}
            >
              <input
                ref={(element) => {
                  note = element;
                  queueMicrotask(() => element.focus());
                }}
                maxlength="1000"
                placeholder={t("alarms.note.hint")}
                aria-label={t("alarms.note")}
                data-testid="alarm-note"
              />
              <div class="actions">
                <button class="button primary small" disabled={busy()} data-testid="alarm-save">
                  {t("alarms.save")}
                </button>
                <button type="button" class="button small" onClick={() => setWriting(false)}>
                  {t("app.cancel")}
                </button>
              </div>
            </form>
          }
        >
          <div class="actions">
            <Show
              when={props.alarm.handling}
              fallback={
                <button type="button" class="button small" onClick={() => setWriting(true)} data-testid="alarm-handle">
                  {t("alarms.handle")}
                </button>
              }
            >
              <button
                type="button"
                class="button small"
                disabled={busy()}
                onClick={() => void act(() => client.unhandleAlarm(props.alarm.id))}
                data-testid="alarm-undo"
              >
                <Icon name="undo" size={14} />
                {t("alarms.undo")}
              </button>
            </Show>
          </div>
        </Show>
      </Show>
      <Show when={message()}>
        <p class="form-error" role="alert">
          {message()}
        </p>
      </Show>
    </li>
  );
}
