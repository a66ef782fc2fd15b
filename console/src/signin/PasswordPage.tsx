// The change of the own password, by wish or because the given one must be replaced.

import { createSignal, Show, type JSX } from "solid-js";

import type { Login } from "../api/login";
import { Problem } from "../api/problem";
import { words } from "../console";
import { t } from "../i18n";
import { Brand } from "../ui/Brand";
import { FormError } from "../ui/controls";

export function PasswordPage(props: { login: Login; forced: boolean; onCancel: () => void }): JSX.Element {
  return (
    <main class="page">
      <div class="card sign-in">
        <Brand />
        <PasswordForm {...props} />
      </div>
    </main>
  );
}

export function PasswordForm(props: {
  login: Login;
  forced: boolean;
  onCancel: () => void;
  onDone?: () => void;
}): JSX.Element {
  const [busy, setBusy] = createSignal(false);
  const [message, setMessage] = createSignal("");
  let old!: HTMLInputElement;
  let fresh!: HTMLInputElement;
  let again!: HTMLInputElement;

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy()) return;
    if (fresh.value !== again.value) {
      setMessage(t("password.differ"));
      return;
    }
    setBusy(true);
    setMessage("");
    try {
      await props.login.changePassword(old.value, fresh.value);
      props.onDone?.();
    } catch (error) {
      const wrong = error instanceof Problem && error.status === 403;
      setMessage(wrong ? t("password.wrongOld") : words(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <form class="stack" onSubmit={(event) => void submit(event)} aria-labelledby="password-title">
      <h1 id="password-title">{t("password.title")}</h1>
      <Show when={props.forced}>
        <p class="quiet">{t("password.must")}</p>
      </Show>
      {/* Lets password managers know whose password this is. */}
      <input class="gone" name="account" autocomplete="username" value={props.login.account ?? ""} readonly tabindex="-1" aria-hidden="true" />
      <label>
        {t("password.old")}
        <input ref={old} type="password" autocomplete="current-password" required autofocus data-testid="password-old" />
      </label>
      <label>
        {t("password.new")}
        <input ref={fresh} type="password" autocomplete="new-password" required data-testid="password-new" />
      </label>
      <label>
        {t("password.again")}
        <input ref={again} type="password" autocomplete="new-password" required data-testid="password-again" />
      </label>
      <FormError message={message()} />
      <button class="button primary block" disabled={busy()} data-testid="password-set">
        {t("password.submit")}
      </button>
      <button type="button" class="button block" onClick={() => props.onCancel()}>
        {props.forced ? t("app.signOut") : t("app.cancel")}
      </button>
    </form>
  );
}
