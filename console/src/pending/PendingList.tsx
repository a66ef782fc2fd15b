// Terminals that wait for somebody's decision.

import { createSignal, For, onCleanup, Show, type JSX } from "solid-js";
import { createStore, reconcile } from "solid-js/store";

import { isAbort } from "../api/problem";
import type { Approval, PendingTerminal } from "../api/types";
import { useConsole } from "../console";
import { number, t, time } from "../i18n";
import { createAction, FormError, SureButton } from "../ui/controls";
import { Empty, Failed, Loading } from "../ui/notice";

/** No event tells of a terminal that knocks. */
const RELOAD_MS = 10_000;

export function PendingList(props: { onCount: (count: number) => void }): JSX.Element {
  const { client } = useConsole();
  // By key, so that a reload does not rebuild a card in which somebody types; nor does one that fails.
  const [list, setList] = createStore<{ terminals: PendingTerminal[] | null }>({ terminals: null });
  const [error, setError] = createSignal<unknown>(null);
  let asked: AbortController | null = null;

  const load = async () => {
    asked?.abort();
    const mine = (asked = new AbortController());
    try {
      const terminals = await client.pending(mine.signal);
      props.onCount(terminals.length);
      setList("terminals", reconcile(terminals, { key: "sim" }));
      setError(null);
    } catch (problem) {
      if (!isAbort(problem)) setError(problem);
    } finally {
      if (asked === mine) asked = null;
    }
  };
  // A slow answer is waited for instead of asked for again and again.
  const timer = setInterval(() => !asked && void load(), RELOAD_MS);
  onCleanup(() => {
    clearInterval(timer);
    asked?.abort();
  });
  void load();

  return (
    <div class="side-body" data-testid="pending-list">
      <p class="quiet side-lead">{t("pending.lead")}</p>
      <Show when={error()}>{(problem) => <Failed error={problem()} retry={() => void load()} />}</Show>
      <Show when={list.terminals === null && !error()}>
        <Loading />
      </Show>
      <Show when={list.terminals?.length === 0}>
        <Empty title={t("pending.none")} />
      </Show>
      <For each={list.terminals ?? []}>{(terminal) => <PendingCard terminal={terminal} onDone={() => void load()} />}</For>
    </div>
  );
}

function PendingCard(props: { terminal: PendingTerminal; onDone: () => void }): JSX.Element {
  const { client, fleet, me } = useConsole();
  const [open, setOpen] = createSignal(false);
  const { busy, message, act } = createAction();
  const [company, setCompany] = createSignal(me.account.company_id);
  const [vehicle, setVehicle] = createSignal(0);
  const [plate, setPlate] = createSignal("");

  const decide = async (work: () => Promise<unknown>) => {
    if (!(await act(work))) return;
    fleet.reload();
    props.onDone();
  };
  const approve = (event: Event) => {
    event.preventDefault();
    const approval: Approval = { company_id: company() };
    if (vehicle()) approval.vehicle_id = vehicle();
    else if (plate().trim()) approval.plate = plate().trim();
    void decide(() => client.approve(props.terminal.sim, approval));
  };
  const choose = (id: number) => {
    setCompany(id);
    // It was the other company's.
    setVehicle(0);
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
        <Show when={props.terminal.terminal_no}>
          <dt>{t("pending.terminalNo")}</dt>
          <dd class="mono">{props.terminal.terminal_no}</dd>
        </Show>
        <dt>{t("pending.peer")}</dt>
        <dd class="mono">{props.terminal.peer}</dd>
        <dt>{t("pending.attempts")}</dt>
        <dd>{number(props.terminal.attempts)}</dd>
        <dt>{t("pending.firstSeen")}</dt>
        <dd>{time(props.terminal.first_seen_at)}</dd>
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
            <SureButton
              label={t("pending.reject")}
              sure={t("pending.reject.sure")}
              disabled={busy()}
              onSure={() => void decide(() => client.reject(props.terminal.sim))}
              testid="pending-reject"
            />
          </div>
        }
      >
        <form class="stack" onSubmit={approve}>
          <label>
            {t("pending.company")}
            <select value={company()} onChange={(event) => choose(Number(event.currentTarget.value))}>
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
      <FormError message={message()} />
    </article>
  );
}
