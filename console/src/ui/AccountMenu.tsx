// The menu of the account: language, theme, password, documentation, sign-out.

import { createSignal, For, onCleanup, onMount, Show, type JSX } from "solid-js";

import { useConsole } from "../console";
import { t, type Key } from "../i18n";
import { PasswordForm } from "../signin/PasswordPage";
import { Icon } from "./icons";
import { LanguageChoice } from "./LanguageChoice";
import { choice, chooseTheme, type ThemeChoice } from "./theme";

const THEMES: ThemeChoice[] = ["auto", "light", "dark"];

export function AccountMenu(props: { signOut: () => void }): JSX.Element {
  const { me, login } = useConsole();
  const [open, setOpen] = createSignal(false);
  const [password, setPassword] = createSignal<"unchanged" | "changing" | "changed">("unchanged");
  let root!: HTMLDivElement;
  let opener!: HTMLButtonElement;
  let dialog!: HTMLDialogElement;

  const onPointer = (event: Event) => {
    if (!root.contains(event.target as Node)) setOpen(false);
  };
  onMount(() => document.addEventListener("pointerdown", onPointer));
  onCleanup(() => document.removeEventListener("pointerdown", onPointer));

  return (
    <div
      class="menu-root"
      ref={root}
      onKeyDown={(event) => {
        if (event.key === "Escape" && open()) {
          event.stopPropagation();
          setOpen(false);
          opener.focus();
        }
      }}
    >
      <button
        type="button"
        class="button ghost"
        ref={opener}
        aria-expanded={open()}
        onClick={() => setOpen((now) => !now)}
        data-testid="account-menu"
      >
        <Icon name="user" />
        {me.account.name}
      </button>
      <Show when={open()}>
        <div class="menu" role="group" aria-label={t("app.account")}>
          <label class="menu-row">
            {t("app.language")}
            <LanguageChoice />
          </label>
          <label class="menu-row">
            {t("app.theme")}
            <select
              class="plain-select"
              value={choice()}
              onChange={(event) => chooseTheme(event.currentTarget.value as ThemeChoice)}
              data-testid="theme"
            >
              <For each={THEMES}>
                {(each) => (
                  <option value={each} selected={each === choice()}>
                    {t(`app.theme.${each}` as Key)}
                  </option>
                )}
              </For>
            </select>
          </label>
          <hr />
          <a class="menu-item" href="/docs/" target="_blank" rel="noreferrer">
            {t("app.apiDocs")}
          </a>
          <button
            type="button"
            class="menu-item"
            onClick={() => {
              setOpen(false);
              setPassword("changing");
              dialog.showModal();
            }}
          >
            {t("app.changePassword")}
          </button>
          <button type="button" class="menu-item" onClick={() => props.signOut()} data-testid="sign-out">
            {t("app.signOut")}
          </button>
        </div>
      </Show>
      {/* What was typed goes with the dialog. */}
      <dialog ref={dialog} class="card" aria-label={t("app.changePassword")} on:close={() => setPassword("unchanged")}>
        <Show when={password() === "changing"}>
          <PasswordForm login={login} forced={false} onCancel={() => dialog.close()} onDone={() => setPassword("changed")} />
        </Show>
        <Show when={password() === "changed"}>
          <div class="stack">
            <p role="status">{t("password.done")}</p>
            <button type="button" class="button block" onClick={() => dialog.close()}>
              {t("app.close")}
            </button>
          </div>
        </Show>
      </dialog>
    </div>
  );
}
