// The console of a signed-in person: sections on the left, the map, a vehicle on the right.

import { createEffect, createSignal, For, Match, onCleanup, onMount, Show, Switch, type JSX } from "solid-js";

import { AlarmList } from "./alarms/AlarmList";
import type { Client } from "./api/client";
import type { Login } from "./api/login";
import { Problem } from "./api/problem";
import type { ConsoleSettings, Me } from "./api/types";
import { ConsoleContext, may, type Console } from "./console";
import { exposeForTests } from "./debug";
import { Fleet } from "./fleet/fleet";
import { VehicleList } from "./fleet/VehicleList";
import { t, zone, type Key } from "./i18n";
import type { FleetMap } from "./map/fleet-map";
import { MapView } from "./map/MapView";
import { NodesPage } from "./nodes/NodesPage";
import { PendingList } from "./pending/PendingList";
import { ProfilesPage } from "./profiles/ProfilesPage";
import { AccountMenu } from "./ui/AccountMenu";
import { Brand } from "./ui/Brand";
import { Icon, type IconName } from "./ui/icons";
import { VehiclePanel } from "./vehicle/VehiclePanel";

type Section = "vehicles" | "alarms" | "pending" | "profiles" | "nodes";
/** Sections that lie over the map instead of beside it. */
const SHEETS: (Section | null)[] = ["profiles", "nodes"];

const SECTIONS: { name: Section; icon: IconName }[] = [
  { name: "vehicles", icon: "vehicle" },
  { name: "alarms", icon: "alarm" },
  { name: "pending", icon: "pending" },
  { name: "profiles", icon: "device" },
  { name: "nodes", icon: "nodes" },
];

const PENDING_EVERY_MS = 60_000;
const TYPING = "input:not([type=range], [type=checkbox]), textarea, select";

export default function Workplace(props: {
  login: Login;
  client: Client;
  me: Me;
  settings: ConsoleSettings;
  signOut: () => void;
}): JSX.Element {
  const fleet = new Fleet(props.client);
  const [section, setSection] = createSignal<Section | null>("vehicles");
  const [selected, setSelected] = createSignal<number | null>(fromHash());
  const [map, setMap] = createSignal<FleetMap | null>(null);
  const [following, setFollowing] = createSignal(false);
  const [pendingCount, setPendingCount] = createSignal(0);
  const [summary, setSummary] = createSignal(fleet.summary());
  const manages = may(props.me, "manage_vehicles");
  // Nodes are there for those who run the platform only; who they are the server says.
  const [operates, setOperates] = createSignal(false);
  const offered = (name: Section) =>
    ({ vehicles: true, alarms: true, pending: manages, profiles: manages, nodes: operates() })[name];

  const select = (id: number | null) => {
    setFollowing(id !== null);
    setSelected(id);
  };
  const shared: Console = {
    login: props.login,
    client: props.client,
    fleet,
    me: props.me,
    settings: props.settings,
    selected,
    select,
    map,
    setMap,
    following,
    setFollowing,
  };

  createEffect(() => {
    const id = selected();
    history.replaceState(null, "", id === null ? location.pathname + location.search : `#vehicle=${id}`);
  });
  createEffect(() => {
    fleet.version();
    setSummary(fleet.summary());
  });
  // No event tells of a terminal that knocks.
  const countPending = () => {
    if (manages) void props.client.pending().then((list) => setPendingCount(list.length), () => undefined);
  };
  const counting = setInterval(countPending, PENDING_EVERY_MS);
  onCleanup(() => clearInterval(counting));
  const onHash = () => setSelected(fromHash());
  const onKey = (event: KeyboardEvent) => {
    // Who types means the field, not the page.
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as Element).matches?.(TYPING)) return;
    if (event.key === "Escape" && !document.fullscreenElement && !document.querySelector("dialog[open]")) select(null);
    if (event.key === "/") {
      event.preventDefault();
      setSection("vehicles");
      queueMicrotask(() => document.querySelector<HTMLInputElement>("#vehicle-search")?.focus());
    }
  };
  const askForNodes = () => {
    const hidden = (problem: unknown) => problem instanceof Problem && (problem.status === 403 || problem.status === 404);
    void props.client.cluster().then(() => setOperates(true), (problem) => setOperates(!hidden(problem)));
  };
  onMount(() => {
    fleet.open();
    window.addEventListener("hashchange", onHash);
    window.addEventListener("keydown", onKey);
    countPending();
    if (may(props.me, "manage_accounts")) askForNodes();
  });
  onCleanup(() => {
    fleet.close();
    window.removeEventListener("hashchange", onHash);
    window.removeEventListener("keydown", onKey);
  });
  onCleanup(exposeForTests(map));

  const badge = (name: Section) => ({ vehicles: 0, alarms: summary().alarms, pending: pendingCount(), profiles: 0, nodes: 0 })[name];

  return (
    <ConsoleContext.Provider value={shared}>
      <div class="workplace" data-testid="workplace">
        <header class="top">
          <Brand />
          <span class={`link link-${fleet.link()}`} role="status" data-testid="link">
            <span class="link-dot" />
            {t(`link.${fleet.link()}`)}
          </span>
          <span class="top-count" data-testid="online-count">
            {t("vehicles.count", { online: summary().online, total: summary().total })}
          </span>
          <span class="spring" />
          <span class="quiet zone">{t("app.timeZone", zone())}</span>
          <AccountMenu signOut={props.signOut} />
        </header>
        <nav class="rail" aria-label={t("app.navigation")}>
          <For each={SECTIONS.filter(({ name }) => offered(name))}>
            {({ name, icon }) => (
              <button
                type="button"
                class="rail-button"
                aria-pressed={section() === name}
                onClick={() => setSection((now) => (now === name ? null : name))}
                data-testid={`section-${name}`}
              >
                <Icon name={icon} size={22} />
                <span>{t(`${name}.title` as Key)}</span>
                <Show when={badge(name) > 0}>
                  <span class={`badge badge-${name}`}>{badge(name) > 99 ? "99+" : badge(name)}</span>
                </Show>
              </button>
            )}
          </For>
        </nav>
        <Show when={section() && !SHEETS.includes(section())}>
          <aside class="side" aria-label={t(`${section() ?? "vehicles"}.title` as Key)}>
            <Switch>
              <Match when={section() === "vehicles"}>
                <VehicleList />
              </Match>
              <Match when={section() === "alarms"}>
                <AlarmList />
              </Match>
              <Match when={section() === "pending"}>
                <PendingList onCount={setPendingCount} />
              </Match>
            </Switch>
          </aside>
        </Show>
        <MapView />
        <Show when={section() === "profiles"}>
          <ProfilesPage />
        </Show>
        <Show when={section() === "nodes"}>
          <NodesPage />
        </Show>
        <Show when={selected()} keyed>
          {(id) => <VehiclePanel id={id} />}
        </Show>
      </div>
    </ConsoleContext.Provider>
  );
}

function fromHash(): number | null {
  const id = Number(/^#vehicle=(\d+)$/.exec(location.hash)?.[1]);
  return Number.isSafeInteger(id) && id > 0 ? id : null;
}
