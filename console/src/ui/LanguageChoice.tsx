// The choice of the language.

import { For, type JSX } from "solid-js";

import { language, LANGUAGES, setLanguage, t, type Language } from "../i18n";

export function LanguageChoice(): JSX.Element {
  return (
    <select
      class="plain-select"
      aria-label={t("app.language")}
      value={language()}
      onChange={(event) => setLanguage(event.currentTarget.value as Language)}
    >
      <For each={Object.entries(LANGUAGES)}>
        {([tag, name]) => (
          <option value={tag} selected={tag === language()}>
            {name}
          </option>
        )}
      </For>
    </select>
  );
}
