// What happened to nodes, the latest first, a page at a time.

import { createEffect, createSignal, For, on, onCleanup, Show, type JSX } from "solid-js";

import { useConsole } from "../console";
import { t, time } from "../i18n";
import { createAction, FormError } from "../ui/controls";
import { Empty, Failed, Loading } from "../ui/notice";
import { lengthened, refreshed, type Listed } from "./events";
import { createRefresh } from "./refresh";

const REFRESH_MS = 5_000;
const PAGE = 20;

/** `changes` counts what this person changed: what became of it is looked for at once. */
export function NodeEvents(props: { changes: number }): JSX.Element {
  const { client } = useConsole();
  const [listed, setListed] = createSignal<Listed | null>(null);
  const { error, refresh } = createRefresh(async (signal) => {
    const first = await client.nodeEvents({ limit: PAGE }, signal);
    setListed((before) => refreshed(before, first));
  }, REFRESH_MS);
  createEffect(on(() => props.changes, refresh, { defer: true }));

  const { busy, message, act } = createAction();
  const gone = new AbortController();
  onCleanup(() => gone.abort());
  const more = (cursor: string) =>
    act(async () => {
      const page = await client.nodeEvents({ limit: PAGE, cursor }, gone.signal);
      // A list that began anew meanwhile has another end.
      setListed((now) => (now?.cursor === cursor ? lengthened(now, page) : now));
    });

  return (
    <div class="node-events" data-testid="node-events">
      <h2>{t("nodes.events")}</h2>
      <Show when={error()}>{(problem) => <Failed error={problem()} retry={refresh} />}</Show>
      <Show when={listed() === null && !error()}>
        <Loading />
      </Show>
      <Show when={listed()?.events.length === 0}>
        <Empty title={t("nodes.events.none")} />
      </Show>
      <ul>
        <For each={listed()?.events ?? []}>
          {(event) => (
            <li data-testid={`node-event-${event.id}`}>
              <span class="quiet">{time(event.at)}</span>
              <strong>{event.node}</strong>
              <span>{t(`nodes.event.${event.kind}`)}</span>
              <span class="quiet">{event.detail}</span>
            </li>
          )}
        </For>
      </ul>
      <Show when={listed()?.cursor}>
        {(cursor) => (
          <button type="button" class="button" disabled={busy()} onClick={() => void more(cursor())} data-testid="node-events-more">
            {t("app.more")}
          </button>
        )}
      </Show>
      <FormError message={message()} />
    </div>
  );
}
