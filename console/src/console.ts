// What the parts of a signed-in console share, handed down by context.

import { createContext, useContext, type Accessor } from "solid-js";

import type { Client } from "./api/client";
import { Problem } from "./api/problem";
import type { ConsoleSettings, Me, Permission } from "./api/types";
import type { Login } from "./api/login";
import type { Fleet } from "./fleet/fleet";
import { t, type Key } from "./i18n";
import type { FleetMap } from "./map/fleet-map";

export interface Console {
  login: Login;
  client: Client;
  fleet: Fleet;
  me: Me;
  settings: ConsoleSettings;
  selected: Accessor<number | null>;
  select: (id: number | null) => void;
  map: Accessor<FleetMap | null>;
  setMap: (map: FleetMap | null) => void;
  following: Accessor<boolean>;
  setFollowing: (following: boolean) => void;
}

export const ConsoleContext = createContext<Console>();

export function useConsole(): Console {
  const console = useContext(ConsoleContext);
  if (!console) throw new Error("outside of the console");
  return console;
}

export function may(me: Me, permission: Permission): boolean {
  return me.permissions.includes(permission);
}

const TOLD = new Set([0, 401, 403, 404, 409, 429, 500, 503]);

/** A failure in words: the console's own, and the server's detail where it gave one. */
export function words(error: unknown): string {
  if (!(error instanceof Problem)) return t("problem.console", { error: String(error) });
  const status = error.status === 502 || error.status === 504 ? 503 : error.status;
  const own = TOLD.has(status)
    ? t(`problem.${status}` as Key)
    : error.detail
      ? ""
      : t("problem.other", { status: error.status });
  // 503 says what is away or busy; other failures of a server hide their cause.
  const detail = error.detail && (error.status < 500 || error.status === 503) ? sentence(error.detail) : "";
  return [own, detail].filter(Boolean).join(" ");
}

function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?。]$/.test(capital) ? capital : `${capital}.`;
}

export async function loadSettings(): Promise<ConsoleSettings> {
  try {
    const reply = await fetch("/console-settings.json", { cache: "no-store" });
    if (!reply.ok || !/json/.test(reply.headers.get("content-type") ?? "")) return {};
    return (await reply.json()) as ConsoleSettings;
  } catch {
    return {};
  }
}
