// The three things a panel shows instead of its contents: it loads, it failed, there is nothing.

import { Show, type JSX } from "solid-js";

import { words } from "../console";
import { t } from "../i18n";

export function Loading(): JSX.Element {
  return (
    <div class="notice" role="status">
      <span class="spinner" />
      {t("app.loading")}
    </div>
  );
}

export function Failed(props: { error: unknown; retry?: (() => void) | undefined }): JSX.Element {
  return (
    <div class="notice bad" role="alert" data-testid="problem">
      <p>{words(props.error)}</p>
      <Show when={props.retry}>
        {(retry) => (
          <button type="button" class="button" onClick={() => retry()()}>
            {t("app.retry")}
          </button>
        )}
      </Show>
    </div>
  );
}

export function Empty(props: { title: string; hint?: string | undefined }): JSX.Element {
  return (
    <div class="notice" data-testid="empty">
      <p class="notice-title">{props.title}</p>
      <Show when={props.hint}>
        <p>{props.hint}</p>
      </Show>
    </div>
  );
}
