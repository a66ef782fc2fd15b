// One vehicle: its status, its live pictures, its track.

import { createEffect, createMemo, createSignal, For, Match, Show, Switch, type JSX } from "solid-js";

import { useConsole } from "../console";
import { stateOf, type VehicleState } from "../fleet/state";
import { number, t, time, type Key } from "../i18n";
import { LiveWall } from "../live/LiveWall";
import { TrackView } from "../track/TrackView";
import { IconButton } from "../ui/controls";
import { Loading } from "../ui/notice";
import { StatusView } from "./StatusView";

const TABS = ["overview", "live", "track"] as const;
type Tab = (typeof TABS)[number];

/** The tab and the width outlive the change of the vehicle: who compares pictures stays with pictures. */
const [tab, setTab] = createSignal<Tab>("overview");
const [wide, setWide] = createSignal(false);

export function VehiclePanel(props: { id: number }): JSX.Element {
  const { fleet, select } = useConsole();
  const state = createMemo<{ current: VehicleState } | null>(() => {
    fleet.version();
    const current = fleet.find(props.id);
    // A new wrapper each time: the state itself is changed in place.
    return current ? { current } : null;
  });
  createEffect(() => {
    // A vehicle that is no longer there, or never was, closes its panel.
    if (fleet.ready() && fleet.version() > 0 && !state()) select(null);
  });
  const company = () => {
    const id = state()?.current.vehicle.company_id;
    return fleet.companies().find((each) => each.id === id)?.name ?? "";
  };
  const lately = ({ online, position }: VehicleState) =>
    online && position
      ? [`${number(position.speed_kmh)} ${t("unit.kmh")}`, time(position.device_time ?? position.received_at)]
      : [];
  const onTabKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    setTab(TABS[(TABS.indexOf(tab()) + step + TABS.length) % TABS.length] as Tab);
    document.getElementById(`tab-${tab()}`)?.focus();
  };

  return (
    <section class="panel" classList={{ wide: wide() }} aria-labelledby="panel-title" data-testid="vehicle-panel">
      <Show when={state()} fallback={<Loading />}>
        {(now) => (
          <>
            <header class="panel-head">
              <div>
                <h2 id="panel-title" data-testid="vehicle-plate">
                  {now().current.vehicle.plate}
                </h2>
                <p class="quiet">{[company(), ...lately(now().current)].filter(Boolean).join(" · ")}</p>
              </div>
              <span class={`chip chip-${stateOf(now().current)}`} data-testid="vehicle-state">
                {t(`state.${stateOf(now().current)}`)}
              </span>
              <span class="spring" />
              <IconButton
                icon={wide() ? "narrow" : "wide"}
                label={wide() ? t("vehicle.narrow") : t("vehicle.wide")}
                onClick={() => setWide(!wide())}
                testid="panel-wide"
              />
              <IconButton icon="close" label={t("app.close")} onClick={() => select(null)} testid="panel-close" />
            </header>
            <div class="tabs" role="tablist" onKeyDown={onTabKey}>
              <For each={TABS}>
                {(name) => (
                  <button
                    type="button"
                    role="tab"
                    id={`tab-${name}`}
                    aria-selected={tab() === name}
                    aria-controls="tab-panel"
                    tabindex={tab() === name ? 0 : -1}
                    onClick={() => setTab(name)}
                    data-testid={`tab-${name}`}
                  >
                    {t(`vehicle.${name}` as Key)}
                  </button>
                )}
              </For>
            </div>
            <div class="panel-body" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab()}`}>
              <Switch>
                <Match when={tab() === "overview"}>
                  <StatusView state={now()} />
                </Match>
                <Match when={tab() === "live"}>
                  <LiveWall state={now()} />
                </Match>
                <Match when={tab() === "track"}>
                  <TrackView vehicle={props.id} />
                </Match>
              </Switch>
            </div>
          </>
        )}
      </Show>
    </section>
  );
}
