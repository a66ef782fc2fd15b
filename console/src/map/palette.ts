// Colours of the map in both themes. The rest of the console has its own in ui/style.css; a map style
// cannot read CSS variables.

import type { State } from "../fleet/state";

export type Theme = "light" | "dark";

export interface Palette {
  water: string;
  land: string;
  border: string;
  coast: string;
  grid: string;
  gridText: string;
  label: string;
  halo: string;
  trail: string;
  track: string;
  trackCasing: string;
  selected: string;
}

export const PALETTES: Record<Theme, Palette> = {
  light: {
    water: "#cfe0ea",
    land: "#f5f4ef",
    border: "#c9c4b8",
    coast: "#a9bfcc",
    grid: "#e6e3da",
    gridText: "#9b968a",
    label: "#2b3440",
    halo: "#ffffff",
    trail: "#a9bbd1",
    track: "#1f6feb",
    trackCasing: "#ffffff",
    selected: "#1f6feb",
  },
  dark: {
    water: "#0c1620",
    land: "#17212c",
    border: "#33414f",
    coast: "#2b4252",
    grid: "#1f2a36",
    gridText: "#4d5c6b",
    label: "#dfe7ef",
    halo: "#111a23",
    trail: "#34495e",
    track: "#58a6ff",
    trackCasing: "#0c1620",
    selected: "#58a6ff",
  },
};

export const STATE_COLOURS: Record<State, string> = {
  moving: "#16a34a",
  stopped: "#d98a04",
  offline: "#8793a0",
  alarm: "#e5383b",
};
