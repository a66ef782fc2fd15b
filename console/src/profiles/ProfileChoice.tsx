// The device profile of one terminal, for those who manage vehicles.

import { createSignal, For, onCleanup, Show, type JSX } from "solid-js";

import type { DeviceProfile, Terminal } from "../api/types";
import { useConsole } from "../console";
import { t } from "../i18n";
import { createAction, FormError } from "../ui/controls";

export function ProfileChoice(props: { terminal: Terminal }): JSX.Element {
  const { client, fleet } = useConsole();
  const { busy, message, act } = createAction();
  const [profiles, setProfiles] = createSignal<DeviceProfile[]>([]);
  const has = () => props.terminal.device_profile_id ?? null;
  // One of a company above is not in the caller's sight.
  const isKnown = () => has() === null || profiles().some(({ id }) => id === has());
  const asked = new AbortController();
  onCleanup(() => asked.abort());
  // Without the list only what the terminal has is offered.
  client.deviceProfiles(asked.signal).then(setProfiles, () => undefined);

  const choose = async (id: number | null) => {
    await act(() => client.setDeviceProfile(props.terminal.id, id));
    // What was refused is shown as it is, too.
    fleet.reload();
  };
  return (
    <>
      <select
        aria-label={t("vehicle.profile")}
        disabled={busy()}
        onChange={(event) => void choose(Number(event.currentTarget.value) || null)}
        data-testid="terminal-profile"
      >
        <option value={0} selected={has() === null}>
          {t("vehicle.profile.none")}
        </option>
        <Show when={!isKnown()}>
          <option value={has() ?? 0} selected>
            {t("vehicle.profile.above")}
          </option>
        </Show>
        <For each={profiles()}>
          {({ id, name }) => (
            <option value={id} selected={id === has()}>
              {name}
            </option>
          )}
        </For>
      </select>
      <FormError message={message()} />
    </>
  );
}
