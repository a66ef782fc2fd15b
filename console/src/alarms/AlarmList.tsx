// Alarms, newest first: what lasts, what waits for somebody, everything.

import { createEffect, createSignal, For, on, onCleanup, Show, type JSX } from "solid-js";
import { createStore, reconcile, unwrap } from "solid-js/store";

import { isAbort } from "../api/problem";
import type { Alarm } from "../api/types";
import { may, useConsole } from "../console";
import { alarmName, duration, t, time } from "../i18n";
import { createAction, FormError, SureButton } from "../ui/controls";
import { Icon } from "../ui/icons";
import { Empty, Failed, Loading } from "../ui/notice";
import { lengthened, refreshed } from "./list";

const VIEWS = ["active", "open", "all"] as const;
type View = (typeof VIEWS)[number];

const PAGE = 50;
/** The server's upper limit of a page. */
const PAGE_MAX = 500;
/** A storm of alarm events reloads the list this often, not more. */
const RELOAD_MS = 2_000;
/** No event tells that somebody else has handled an alarm. */
const REFRESH_MS = 30_000;

export function AlarmList(): JSX.Element {
  const { client, fleet } = useConsole();
  const [view, setView] = createSignal<View>("active");
  // By key: what a reload does not change keeps its elements, also a note that somebody types.
  const [list, setList] = createStore<{ alarms: Alarm[] | null }>({ alarms: null });
  const [cursor, setCursor] = createSignal<string | null>(null);
  const [error, setError] = createSignal<unknown>(null);
  const held = new Set<string>();
  let asked: AbortController | null = null;
  let lengthening = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const show = (alarms: Alarm[] | null) => setList("alarms", reconcile(alarms, { key: "id" }));
  const shown = () => unwrap(list).alarms ?? [];
  const load = async (more: boolean) => {
    asked?.abort();
    const mine = (asked = new AbortController());
    lengthening = more;
    const query = {
      active: view() === "active" ? true : undefined,
      handled: view() === "open" ? false : undefined,
      limit: more ? PAGE : Math.min(PAGE_MAX, Math.max(PAGE, shown().length)),
      cursor: more ? (cursor() ?? undefined) : undefined,
    };
    try {
      const page = await client.alarms(query, mine.signal);
      // Copies: the store writes into what it was given.
      const before = structuredClone(shown());
      show(more ? lengthened(before, page.items) : refreshed(page.items, before, held));
      setCursor(page.next_cursor ?? null);
      setError(null);
    } catch (problem) {
      if (!isAbort(problem)) setError(problem);
    } finally {
      if (asked === mine) lengthening = false;
    }
  };
  const reloadSoon = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      // Who asked for more gets it first.
      if (lengthening) reloadSoon();
      else void load(false);
    }, RELOAD_MS);
  };
  createEffect(
    on(view, () => {
      show(null);
      void load(false);
    }),
  );
  createEffect(on(fleet.alarmVersion, reloadSoon, { defer: true }));
  const refreshing = setInterval(reloadSoon, REFRESH_MS);
  onCleanup(() => {
    asked?.abort();
    clearTimeout(timer);
    clearInterval(refreshing);
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
        <Show when={list.alarms === null && !error()}>
          <Loading />
        </Show>
        <Show when={list.alarms?.length === 0}>
          <Empty title={t(`alarms.none.${view()}`)} />
        </Show>
        <ul class="cards">
          <For each={list.alarms ?? []}>
            {(alarm) => (
              <AlarmCard
                alarm={alarm}
                onChange={() => void load(false)}
                onHold={(hold) => void (hold ? held.add(alarm.id) : held.delete(alarm.id))}
              />
            )}
          </For>
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

interface CardProps {
  alarm: Alarm;
  onChange: () => void;
  /** Somebody writes a note about it, or does so no longer. */
  onHold: (hold: boolean) => void;
}

function AlarmCard(props: CardProps): JSX.Element {
  const { client, me, select } = useConsole();
  const [writing, setWriting] = createSignal(false);
  const { busy, message, act } = createAction();
  let note!: HTMLInputElement;

  const change = async (work: () => Promise<unknown>) => {
    if (!(await act(work))) return;
    setWriting(false);
    props.onChange();
  };
  createEffect(() => props.onHold(writing()));
  onCleanup(() => props.onHold(false));
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
        disabled={typeof props.alarm.vehicle_id !== "number"}
        onClick={() => select(props.alarm.vehicle_id ?? null)}
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
                void change(() => client.handleAlarm(props.alarm.id, note.value.trim()));
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
              <SureButton
                label={t("alarms.undo")}
                sure={t("alarms.undo.sure")}
                icon="undo"
                disabled={busy()}
                onSure={() => void change(() => client.unhandleAlarm(props.alarm.id))}
                testid="alarm-undo"
              />
            </Show>
          </div>
        </Show>
      </Show>
      <FormError message={message()} />
    </li>
  );
}
