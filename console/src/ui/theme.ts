// Light or dark: the person's choice, else the system's, also while it changes.

import { createRoot, createSignal } from "solid-js";

import type { Theme } from "../map/palette";

const KEY = "motorcade.theme";

export type ThemeChoice = Theme | "auto";

const system = window.matchMedia("(prefers-color-scheme: dark)");

export const { choice, chooseTheme, theme } = createRoot(() => {
  const [choice, setChoice] = createSignal<ThemeChoice>(kept());
  const [dark, setDark] = createSignal(system.matches);
  system.addEventListener("change", () => {
    setDark(system.matches);
    apply();
  });
  const theme = (): Theme => {
    const chosen = choice();
    return chosen === "auto" ? (dark() ? "dark" : "light") : chosen;
  };
  const apply = () => (document.documentElement.dataset["theme"] = theme());
  const chooseTheme = (next: ThemeChoice) => {
    setChoice(next);
    apply();
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // A browser that keeps nothing forgets the choice with the tab.
    }
  };
  apply();
  return { choice, chooseTheme, theme };
});

function kept(): ThemeChoice {
  try {
    const value = localStorage.getItem(KEY);
    if (value === "light" || value === "dark") return value;
  } catch {
    // As above.
  }
  return "auto";
}
