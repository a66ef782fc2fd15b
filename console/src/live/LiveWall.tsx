// The channels of a vehicle as tiles.

import { createMemo, createSignal, For, Show, type JSX } from "solid-js";

import type { Profile } from "../api/types";
import { may, useConsole } from "../console";
import type { VehicleState } from "../fleet/state";
import { t } from "../i18n";
import { Empty } from "../ui/notice";
import { LiveTile } from "./LiveTile";

/** The sub stream by default: a wall of main streams is more than many a mobile uplink carries. */
const [profile, setProfile] = createSignal<Profile>("sub");

const key = (channel: { terminal: number; number: number }) => `${channel.terminal}-${channel.number}`;

export function LiveWall(props: { state: { current: VehicleState } }): JSX.Element {
  const { me } = useConsole();
  const [all, setAll] = createSignal<{ run: boolean } | null>(null);
  // By value: a new report of the vehicle must not rebuild a playing tile.
  const channels = createMemo(
    () =>
      props.state.current.vehicle.terminals.flatMap((terminal) =>
        terminal.channels.map(({ number, name }) => ({ terminal: terminal.id, number, name })),
      ),
    [],
    { equals: (a, b) => JSON.stringify(a) === JSON.stringify(b) },
  );
  const [large, setLarge] = createSignal("");
  const online = createMemo(() => props.state.current.online);
  const linked = (terminal: number) =>
    props.state.current.vehicle.terminals.some((each) => each.id === terminal && each.online);

  return (
    <Show when={may(me, "live")} fallback={<Empty title={t("live.noRight")} />}>
      <Show when={channels().length} fallback={<Empty title={t("live.noChannels")} />}>
        <div class="live-bar">
          <div class="segments" role="group" aria-label={t("live.profile")}>
            <button type="button" aria-pressed={profile() === "sub"} onClick={() => setProfile("sub")} data-testid="profile-sub">
              {t("live.sub")}
            </button>
            <button type="button" aria-pressed={profile() === "main"} onClick={() => setProfile("main")} data-testid="profile-main">
              {t("live.main")}
            </button>
          </div>
          <span class="spring" />
          <button type="button" class="button" onClick={() => setAll({ run: true })} disabled={!online()} data-testid="live-start-all">
            {t("live.startAll")}
          </button>
          <button type="button" class="button" onClick={() => setAll({ run: false })} data-testid="live-stop-all">
            {t("live.stopAll")}
          </button>
        </div>
        <Show when={!online()}>
          <p class="warn">{t("live.offline")}</p>
        </Show>
        <div class="wall" classList={{ one: channels().length === 1 }}>
          <For each={channels()}>
            {(channel) => (
              <LiveTile
                vehicle={props.state.current.vehicle.id}
                terminal={channel.terminal}
                channel={channel.number}
                name={channel.name}
                profile={profile()}
                online={linked(channel.terminal)}
                all={all()}
                large={large() === key(channel)}
                onLarge={() => setLarge((now) => (now === key(channel) ? "" : key(channel)))}
              />
            )}
          </For>
        </div>
      </Show>
    </Show>
  );
}
