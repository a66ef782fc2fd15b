// The map in the page: binds the fleet, the selection and the theme to it, and its buttons.

import { createEffect, createSignal, onCleanup, onMount, Show, type JSX } from "solid-js";

import { useConsole } from "../console";
import { t } from "../i18n";
import { IconButton } from "../ui/controls";
import { theme } from "../ui/theme";
import { FleetMap } from "./fleet-map";

export function MapView(): JSX.Element {
  const { fleet, settings, selected, select, map, setMap, following, setFollowing } = useConsole();
  const [failed, setFailed] = createSignal(false);
  let container!: HTMLDivElement;

  onMount(() => {
    let made: FleetMap;
    try {
      made = new FleetMap(container, theme(), settings.tiles, {
        onPick: (id) => select(id),
        onUnfollow: () => setFollowing(false),
      });
    } catch (error) {
      console.warn("map", error);
      setFailed(true);
      return;
    }
    setMap(made);
    made.setStates(() => fleet.states());
    const leave = fleet.onChange((changed) => made.update(changed, (id) => fleet.find(id)));
    onCleanup(() => {
      leave();
      setMap(null);
      made.remove();
    });
  });
  createEffect(() => map()?.setTheme(theme()));
  createEffect(() => map()?.select(selected(), following()));

  return (
    <main class="map" aria-label={t("map.label")}>
      <div class="map-canvas" ref={container} data-testid="map" />
      <Show when={failed()}>
        <p class="map-failed" role="alert">
          {t("map.failed")}
        </p>
      </Show>
      <div class="map-buttons">
        <IconButton class="map-button" icon="plus" label={t("map.zoomIn")} onClick={() => map()?.zoom(1)} />
        <IconButton class="map-button" icon="minus" label={t("map.zoomOut")} onClick={() => map()?.zoom(-1)} />
        <IconButton
          class="map-button"
          icon="fit"
          label={t("map.fit")}
          onClick={() => {
            setFollowing(false);
            map()?.fit();
          }}
          testid="map-fit"
        />
        <Show when={selected() !== null}>
          <IconButton
            class="map-button"
            icon="follow"
            label={t("map.follow")}
            pressed={following()}
            onClick={() => setFollowing(!following())}
          />
        </Show>
      </div>
    </main>
  );
}
