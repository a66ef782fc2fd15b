// The name and the mark of the platform.

import type { JSX } from "solid-js";

import { t } from "../i18n";

export function Brand(): JSX.Element {
  return (
    <span class="brand">
      <svg width="26" height="26" viewBox="0 0 32 32" aria-hidden="true">
        <rect width="32" height="32" rx="8" class="brand-field" />
        <path d="M16 6l8 19-8-4.600L8 25z" fill="#fff" />
      </svg>
      {t("app.name")}
    </span>
  );
}
