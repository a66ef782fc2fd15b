// The language of the console: the person's choice, else the browser's. Formats follow it, times are
// always the browser's zone.

import { createSignal } from "solid-js";

import { en, type Key, type Strings } from "./en";
import { zh } from "./zh";

const KEY = "motorcade.language";

export const LANGUAGES = { en: "English", "zh-CN": "简体中文" } as const;
export type Language = keyof typeof LANGUAGES;

const STRINGS: Record<Language, Strings> = { en, "zh-CN": zh };

const [language, setLanguageSignal] = createSignal<Language>(initial());

export { language };
export type { Key };

export function setLanguage(next: Language): void {
  setLanguageSignal(next);
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // A browser that keeps nothing forgets the choice with the tab.
  }
  document.documentElement.lang = next;
}

/** The string of `key` with `{name}` filled in. */
export function t(key: Key, values?: Record<string, string | number>): string {
  return STRINGS[language()][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values?.[name] ?? whole));
}

/** An alarm's name; one that the standards do not name is shown as the server names it. */
export function alarmName(kind: string): string {
  const key = `alarm.${kind}`;
  return key in en ? t(key as Key) : kind.replaceAll("_", " ");
}

export function number(value: number, digits = 0): string {
  return value.toLocaleString(language(), { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Time of day where it is today's, else with its date. */
export function time(text: string | number | Date | null | undefined): string {
  if (text === null || text === undefined) return "–";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return "–";
  const today = new Date().toDateString() === date.toDateString();
  return date.toLocaleString(language(), {
    ...(today ? {} : { year: "numeric", month: "short", day: "numeric" }),
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
}

export function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return t("duration.seconds", { s: Math.max(0, Math.floor(ms / 1000)) });
  if (minutes < 60) return t("duration.minutes", { min: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return t("duration.hours", { h: hours, min: minutes % 60 });
  return t("duration.days", { d: Math.floor(hours / 24), h: hours % 24 });
}

export function zone(): { zone: string; offset: string } {
  const minutes = -new Date().getTimezoneOffset();
  const sign = minutes < 0 ? "−" : "+";
  const rest = Math.abs(minutes) % 60;
  return {
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone || "local time",
    offset: `UTC${sign}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`,
  };
}

function initial(): Language {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept && kept in STRINGS) return kept as Language;
  } catch {
    // As above.
  }
  const wanted = typeof navigator === "undefined" ? [] : (navigator.languages ?? []);
  for (const tag of wanted) {
    if (tag.startsWith("zh")) return "zh-CN";
    if (tag.startsWith("en")) return "en";
  }
  return "en";
}
