// What the vehicle last reported, and what it carries.

import { createSignal, For, Show, type JSX } from "solid-js";

import type { Position } from "../api/types";
import { may, useConsole } from "../console";
import { ignition, located, placed, type VehicleState } from "../fleet/state";
import { alarmName, number, t, time } from "../i18n";
import { ProfileChoice } from "../profiles/ProfileChoice";
import { IconButton } from "../ui/controls";
import { Empty } from "../ui/notice";

export function StatusView(props: { state: { current: VehicleState } }): JSX.Element {
  const { me } = useConsole();
  const current = () => props.state.current;
  const position = () => props.state.current.position;
  return (
    <div class="stack">
      <Show when={position()} fallback={<Empty title={t("vehicle.noPosition")} />}>
        {(now) => <Report position={now()} />}
      </Show>
      <section>
        <h3>{t("vehicle.terminals")}</h3>
        <For each={current().vehicle.terminals} fallback={<p class="quiet">{t("vehicle.noTerminals")}</p>}>
          {(terminal) => (
            <div class="terminal" data-testid={`terminal-${terminal.id}`}>
              <span class={`dot dot-${terminal.online ? "moving" : "offline"}`} />
              <dl class="facts">
                <dt>{t("vehicle.sim")}</dt>
                <dd class="mono">{terminal.sim}</dd>
                <dt>{t("vehicle.deviceNo")}</dt>
                <dd class="mono">{terminal.device_no}</dd>
                <dt>{t("vehicle.channels")}</dt>
                <dd>
                  {terminal.channels.map(({ number: n, name }) => name || t("live.channel", { n })).join(", ") || "–"}
                </dd>
                <Show when={may(me, "manage_vehicles")}>
                  <dt>{t("vehicle.profile")}</dt>
                  <dd>
                    <ProfileChoice terminal={terminal} />
                  </dd>
                </Show>
              </dl>
            </div>
          )}
        </For>
        <p class="quiet">
          {t("vehicle.lastSeen")}: {current().lastSeen ? time(current().lastSeen) : t("vehicle.never")}
        </p>
      </section>
    </div>
  );
}

function Report(props: { position: Position }): JSX.Element {
  const [copied, setCopied] = createSignal(false);
  const coordinates = () => `${props.position.latitude.toFixed(6)}, ${props.position.longitude.toFixed(6)}`;
  const copy = () =>
    void navigator.clipboard?.writeText(coordinates()).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1_500);
    });
  return (
    <section>
      <Show when={props.position.alarms.length}>
        <ul class="alarm-chips" aria-label={t("vehicle.activeAlarms")}>
          <For each={props.position.alarms}>{(kind) => <li class="chip chip-alarm">{alarmName(kind)}</li>}</For>
        </ul>
      </Show>
      <div class="gauge">
        <span class="gauge-number" data-testid="vehicle-speed">
          {number(props.position.speed_kmh)}
        </span>
        <span class="gauge-unit">{t("unit.kmh")}</span>
        <span class="spring" />
        <Compass degrees={props.position.direction_deg} />
      </div>
      <dl class="facts">
        <dt>{t("vehicle.reported")}</dt>
        <dd data-testid="vehicle-time">{time(props.position.device_time ?? props.position.received_at)}</dd>
        <Show when={placed(props.position)}>
          <dt>{t("vehicle.coordinates")}</dt>
          <dd class="mono">
            {coordinates()}
            <IconButton
              icon={copied() ? "check" : "copy"}
              label={copied() ? t("vehicle.copied") : t("vehicle.copy")}
              class="icon-button small"
              size={14}
              onClick={copy}
            />
          </dd>
        </Show>
        <dt>{t("vehicle.ignition")}</dt>
        <dd>{t(ignition(props.position) ? "vehicle.ignition.on" : "vehicle.ignition.off")}</dd>
        <dt>{t("vehicle.altitude")}</dt>
        <dd>
          {number(props.position.altitude_m)} {t("unit.metre")}
        </dd>
        <Fact name={t("vehicle.mileage")} value={props.position.mileage_km} digits={1} unit={t("unit.km")} />
        <Fact name={t("vehicle.fuel")} value={props.position.fuel_l} digits={1} unit={t("unit.litre")} />
        <Fact name={t("vehicle.satellites")} value={props.position.satellites} />
        <Fact name={t("vehicle.signal")} value={props.position.signal} />
      </dl>
      <Show when={!located(props.position)}>
        <p class="warn">{t("vehicle.noFix")}</p>
      </Show>
    </section>
  );
}

function Fact(props: { name: string; value: number | null | undefined; digits?: number; unit?: string }): JSX.Element {
  return (
    <Show when={props.value !== null && props.value !== undefined}>
      <dt>{props.name}</dt>
      <dd>
        {number(props.value as number, props.digits ?? 0)} {props.unit ?? ""}
      </dd>
    </Show>
  );
}

function Compass(props: { degrees: number }): JSX.Element {
  return (
    <span class="compass" title={t("vehicle.heading")}>
      <svg width="40" height="40" viewBox="0 0 40 40" aria-hidden="true">
        <circle cx="20" cy="20" r="18" class="compass-ring" />
        <path d="M20 2v4M38 20h-4M20 38v-4M2 20h4" class="compass-mark" />
        <path d="M20 8l6 20-6-4-6 4z" class="compass-needle" transform={`rotate(${props.degrees} 20 20)`} />
      </svg>
      <span>{number(props.degrees)}°</span>
    </span>
  );
}
