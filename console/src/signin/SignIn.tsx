// The sign-in page.

import { createSignal, type JSX } from "solid-js";

import type { Login } from "../api/login";
import { Problem } from "../api/problem";
import { words } from "../console";
import { t } from "../i18n";
import { Brand } from "../ui/Brand";
import { FormError } from "../ui/controls";
import { LanguageChoice } from "../ui/LanguageChoice";

export function SignIn(props: { login: Login; ended: boolean }): JSX.Element {
  const [busy, setBusy] = createSignal(false);
  const [error, setError] = createSignal<unknown>(null);
  let account!: HTMLInputElement;
  let password!: HTMLInputElement;

  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy()) return;
    setBusy(true);
    setError(null);
    try {
      await props.login.signIn(account.value.trim(), password.value);
    } catch (problem) {
      setError(problem);
      setBusy(false);
      password.select();
    }
  };
  const message = () => {
    const problem = error();
    if (problem instanceof Problem && problem.status === 401) return t("signin.refused");
    if (problem) return words(problem);
    return props.ended ? t("signin.ended") : "";
  };

  return (
    <main class="page">
      <form class="card sign-in" onSubmit={(event) => void submit(event)} aria-labelledby="sign-in-title">
        <Brand />
        <h1 id="sign-in-title">{t("signin.title")}</h1>
        <p class="quiet">{t("signin.lead")}</p>
        <label>
          {t("signin.account")}
          <input ref={account} name="account" autocomplete="username" required autofocus data-testid="account" />
        </label>
        <label>
          {t("signin.password")}
          <input
            ref={password}
            name="password"
            type="password"
            autocomplete="current-password"
            required
            data-testid="password"
          />
        </label>
        <FormError message={message()} testid="sign-in-error" />
        <button class="button primary block" disabled={busy()} data-testid="sign-in">
          {busy() ? t("signin.busy") : t("signin.submit")}
        </button>
        <LanguageChoice />
      </form>
    </main>
  );
}
