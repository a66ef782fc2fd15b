// Terminals that wait for somebody's decision.

import { createEffect, createResource, createSignal, For, onCleanup, Show, type JSX } from "solid-js";

import type { Approval, PendingTerminal } from "../api/types";
import { useConsole, words } from "../console";
import { t, time } from "../i18n";
import { Empty, Failed, Loading } from "../ui/notice";

/** No event tells of a terminal that knocks. */
const RELOAD_MS = 10_000;

export function PendingList(props: { onCount: (count: number) => void }): JSX.Element {
  const { client } = useConsole();
  const [list, { refetch }] = createResource(() => client.pending());
  createEffect(() => {
    if (!list.error && list.latest) props.onCount(list.latest.length);
  });
  const timer = setInterval(() => void refetch(), RELOAD_MS);
  onCleanup(() => clearInterval(timer));
  return (
    <div class="side-body" data-testid="pending-list">
      <p class="quiet side-lead">{t("pending.lead")}</p>
      <Show
        when={!list.error}
        fallback={<Failed error={list.error as unknown} retry={() => void refetch()} />}
      >
        <Show when={list.latest} fallback={<Loading />}>
          <For each={bySim(list.latest ?? [])} fallback={<Empty title={t("pending.none")} />}>
            {(sim) => (
              <PendingCard
                terminal={(list.latest ?? []).find((each) => each.sim === sim) as PendingTerminal}
                onDone={() => void refetch()}
              />
            )}
          </For>
        </Show>
      </Show>
    </div>
  );
}

/** By key, so that a reload does not rebuild a card in which somebody types. */
function bySim(list: PendingTerminal[]): string[] {
  return list.map(({ sim }) => sim);
}

function PendingCard(props: { terminal: PendingTerminal; onDone: () => void }): JSX.Element {
  const { client, fleet, me } = useConsole();
  const [open, setOpen] = createSignal(false);
  const [sure, setSure] = createSignal(false);
  const [busy, setBusy] = createSignal(false);
  const [message, setMessage] = createSignal("");
  const [company, setCompany] = createSignal(me.account.company_id);
  const [vehicle, setVehicle] = createSignal(0);
  const [plate, setPlate] = createSignal("");

  const act = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setMessage("");
    try {
      await work();
      fleet.reload();
      props.onDone();
    } catch (error) {
      setMessage(words(error));
    } finally {
      setBusy(false);
    }
  };
  const approve = (event: Event) => {
    event.preventDefault();
    const approval: Approval = { company_id: company() };
    if (vehicle()) approval.vehicle_id = vehicle();
    else if (plate().trim()) approval.plate = plate().trim();
    void act(() => client.approve(props.terminal.sim, approval));
  };
  /** Vehicles of the chosen company that carry no terminal yet. */
  const free = () => {
    fleet.version();
    return fleet
      .states()
      .map((state) => state.vehicle)
      .filter((each) => each.company_id === company() && each.terminals.length === 0);
  };

  return (
    <article class="pending" data-testid={`pending-${props.terminal.sim}`}>
      <h3 class="mono">{props.terminal.sim}</h3>
      <dl class="facts">
        <Show when={props.terminal.plate}>
          <dt>{t("pending.plate")}</dt>
          <dd>{props.terminal.plate}</dd>
        </Show>
        <Show when={props.terminal.manufacturer}>
          <dt>{t("pending.manufacturer")}</dt>
          <dd>{props.terminal.manufacturer}</dd>
        </Show>
        <Show when={props.terminal.model}>
          <dt>{t("pending.model")}</dt>
          <dd>{props.terminal.model}</dd>
        </Show>
        <dt>{t("pending.lastSeen")}</dt>
        <dd>{time(props.terminal.last_seen_at)}</dd>
      </dl>
      <Show
        when={open()}
        fallback={
          <div class="actions">
            <button type="button" class="button primary small" onClick={() => setOpen(true)} data-testid="pending-approve">
              {t("pending.approve")}
            </button>
            <button
              type="button"
              class="button small"
              classList={{ danger: sure() }}
              disabled={busy()}
              onClick={() => (sure() ? void act(() => client.reject(props.terminal.sim)) : setSure(true))}
              onBlur={() => setSure(false)}
              data-testid="pending-reject"
            >
              {sure() ? t("pending.reject.sure") : t("pending.reject")}
            </button>
          </div>
        }
      >
        <form class="stack" onSubmit={approve}>
          <label>
            {t("pending.company")}
            <select value={company()} onChange={(event) => setCompany(Number(event.currentTarget.value))}>
              <For each={fleet.companies()}>
                {({ id, name }) => (
                  <option value={id} selected={id === company()}>
                    {name}
                  </option>
                )}
              </For>
            </select>
          </label>
          <label>
            {t("pending.existing")}
            <select value={vehicle()} onChange={(event) => setVehicle(Number(event.currentTarget.value))}>
              <option value={0}>{t("pending.newVehicle")}</option>
              <For each={free()}>{(each) => <option value={each.id}>{each.plate}</option>}</For>
            </select>
          </label>
          <Show when={!vehicle()}>
            <label>
              {t("pending.plate")}
              <input
                value={plate()}
                placeholder={t("pending.plate.hint")}
                onInput={(event) => setPlate(event.currentTarget.value)}
                data-testid="pending-plate"
              />
            </label>
          </Show>
          <div class="actions">
            <button class="button primary small" disabled={busy()} data-testid="pending-save">
              {t("pending.approve")}
            </button>
            <button type="button" class="button small" onClick={() => setOpen(false)}>
              {t("app.cancel")}
            </button>
          </div>
        </form>
      </Show>
      <Show when={message()}>
        <p class="form-error" role="alert">
          {message()}
        </p>
      </Show>
    </article>
  );
}
