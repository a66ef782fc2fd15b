// What tests read: the vehicles as the map draws them. Read-only, and nothing that the page does not show.

import type { Accessor } from "solid-js";

import type { Drawn, FleetMap } from "./map/fleet-map";

declare global {
  interface Window {
    motorcade?: { readonly vehicles: () => Drawn[] };
  }
}

export function exposeForTests(map: Accessor<FleetMap | null>): () => void {
  Object.defineProperty(window, "motorcade", {
    configurable: true,
    value: Object.freeze({ vehicles: () => map()?.vehicles() ?? [] }),
  });
  return () => void delete window.motorcade;
}
