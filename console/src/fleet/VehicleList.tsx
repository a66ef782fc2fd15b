// The vehicle tree with its search. Only the rows in view are in the document, so it may be long.

import { createEffect, createMemo, createSignal, Index, on, onCleanup, onMount, Show, type JSX } from "solid-js";

import { useConsole } from "../console";
import { number, t } from "../i18n";
import { Icon } from "../ui/icons";
import { Empty, Failed, Loading } from "../ui/notice";
import { stateOf } from "./state";
import { above, rows, type Row } from "./tree";

const ROW_PX = 38;
/** Rows drawn above and below the view, so that scrolling shows no holes. */
const MARGIN_ROWS = 8;

export function VehicleList(): JSX.Element {
  const { fleet, selected, select } = useConsole();
  const [text, setText] = createSignal("");
  const [onlineOnly, setOnlineOnly] = createSignal(false);
  const [closed, setClosed] = createSignal<ReadonlySet<number>>(new Set<number>());
  const [scroll, setScroll] = createSignal(0);
  const [height, setHeight] = createSignal(600);
  const [place, setPlace] = createSignal(0);
  let list!: HTMLDivElement;

  const all = createMemo(() => {
    fleet.version();
    const query = { text: text(), onlineOnly: onlineOnly(), closed: closed() };
    return rows(fleet.companies(), fleet.states(), query, t("vehicles.company.unknown"));
  });
  /** A search shows what it finds whatever was closed, so nothing is closed meanwhile. */
  const searching = () => text().trim() !== "" || onlineOnly();
  /** The row that keys act on; -1 where there is none. */
  const active = createMemo(() => Math.min(place(), all().length - 1));
  const count = createMemo(() => {
    fleet.version();
    return fleet.summary().total;
  });
  const first = createMemo(() => Math.max(0, Math.floor(scroll() / ROW_PX) - MARGIN_ROWS));
  const view = createMemo(() => all().slice(first(), Math.ceil((scroll() + height()) / ROW_PX) + MARGIN_ROWS));

  onMount(() => {
    const observer = new ResizeObserver(() => setHeight(list.clientHeight));
    observer.observe(list);
    onCleanup(() => observer.disconnect());
  });
  // A vehicle picked on the map comes into view here: once, so that one may look elsewhere in the list afterwards.
  createEffect(
    on([selected, fleet.ready], ([id]) => {
      const vehicle = id === null ? undefined : fleet.find(id)?.vehicle;
      if (!vehicle) return;
      const over = above(fleet.companies(), vehicle.company_id);
      if (over.some((company) => closed().has(company))) {
        setClosed((before) => new Set([...before].filter((company) => !over.includes(company))));
      }
      reveal(all().findIndex((row) => row.kind === "vehicle" && row.id === id));
    }),
  );

  const reveal = (index: number) => {
    if (index < 0) return;
    setPlace(index);
    const top = index * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PX - list.clientHeight;
  };
  const toggle = (id: number) => {
    if (searching()) return;
    setClosed((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });
  };
  const act = (row: Row | undefined) => {
    if (row?.kind === "company") toggle(row.id);
    else if (row) select(row.id);
  };
  const onKey = (event: KeyboardEvent) => {
    const last = all().length - 1;
    const page = Math.max(1, Math.floor(height() / ROW_PX) - 1);
    const row = all()[active()];
    const moves: Record<string, () => void> = {
      ArrowDown: () => reveal(Math.min(last, active() + 1)),
      ArrowUp: () => reveal(Math.max(0, active() - 1)),
      PageDown: () => reveal(Math.min(last, active() + page)),
      PageUp: () => reveal(Math.max(0, active() - page)),
      Home: () => reveal(0),
      End: () => reveal(last),
      Enter: () => act(row),
      " ": () => act(row),
      ArrowRight: () => row?.kind === "company" && !row.open && toggle(row.id),
      ArrowLeft: () => {
        if (row?.kind === "company" && row.open) toggle(row.id);
        else if (row) reveal(all().findLastIndex((each, n) => n < active() && each.depth < row.depth));
      },
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  };

  return (
    <>
      <div class="side-head">
        <div class="search">
          <Icon name="search" />
          <input
            id="vehicle-search"
            type="search"
            placeholder={t("vehicles.search")}
            aria-label={t("vehicles.search")}
            value={text()}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === "ArrowDown") list.focus();
              if (event.key === "Enter") act(all().find(({ kind }) => kind === "vehicle"));
            }}
            data-testid="vehicle-search"
          />
        </div>
        <label class="check">
          <input type="checkbox" checked={onlineOnly()} onChange={(event) => setOnlineOnly(event.currentTarget.checked)} />
          {t("vehicles.onlineOnly")}
        </label>
      </div>
      <Show when={fleet.problem()}>{(problem) => <Failed error={problem()} retry={() => fleet.reload()} />}</Show>
      <Show when={!fleet.ready() && !fleet.problem()}>
        <Loading />
      </Show>
      <Show when={fleet.ready() && count() === 0}>
        <Empty title={t("vehicles.none")} hint={t("vehicles.none.hint")} />
      </Show>
      <Show when={count() > 0 && all().length === 0}>
        <Empty title={text().trim() ? t("vehicles.noMatch", { query: text().trim() }) : t("vehicles.noMatch.online")} />
      </Show>
      <div
        class="tree"
        role="tree"
        tabindex="0"
        aria-label={t("vehicles.title")}
        aria-activedescendant={active() < 0 ? undefined : `row-${active()}`}
        ref={list}
        onScroll={() => setScroll(list.scrollTop)}
        onKeyDown={onKey}
        data-testid="vehicle-tree"
      >
        <div class="tree-all" role="presentation" style={{ height: `${all().length * ROW_PX}px` }}>
          {/* By place, so that a change of a vehicle does not replace the element under the pointer. */}
          <Index each={view()}>
            {(row, n) => {
              const index = () => first() + n;
              return (
                <TreeRow
                  row={row()}
                  index={index()}
                  active={index() === active()}
                  selected={row().kind === "vehicle" && row().id === selected()}
                  onPick={() => {
                    setPlace(index());
                    act(row());
                  }}
                />
              );
            }}
          </Index>
        </div>
      </div>
    </>
  );
}

interface RowProps {
  row: Row;
  index: number;
  active: boolean;
  selected: boolean;
  onPick: () => void;
}

function TreeRow(props: RowProps): JSX.Element {
  const company = () => (props.row.kind === "company" ? props.row : null);
  const state = () => (props.row.kind === "vehicle" ? stateOf(props.row.state) : null);
  const note = () => {
    const { row } = props;
    if (row.kind === "company") return `${number(row.online)} / ${number(row.total)}`;
    const now = stateOf(row.state);
    if (now === "offline" || now === "stopped") return t(`state.${now}`);
    return `${number(row.state.position?.speed_kmh ?? 0)} ${t("unit.kmh")}`;
  };
  return (
    <div
      id={`row-${props.index}`}
      class="row"
      classList={{ company: company() !== null, active: props.active, selected: props.selected }}
      role="treeitem"
      aria-level={props.row.depth + 1}
      aria-expanded={company()?.open}
      aria-selected={props.selected}
      style={{ top: `${props.index * ROW_PX}px`, "padding-left": `${12 + props.row.depth * 16}px` }}
      onClick={() => props.onPick()}
      data-testid={`${props.row.kind}-${props.row.id}`}
    >
      <Show when={state()} fallback={<Twist open={company()?.open ?? false} />}>
        {(now) => <span class={`dot dot-${now()}`} role="img" aria-label={t(`state.${now()}`)} title={t(`state.${now()}`)} />}
      </Show>
      <span class="row-name">{props.row.kind === "company" ? props.row.name : props.row.state.vehicle.plate}</span>
      <span class="row-note">{note()}</span>
    </div>
  );
}

function Twist(props: { open: boolean }): JSX.Element {
  return (
    <span class="twist" classList={{ open: props.open }}>
      <Icon name="chevron" size={14} />
    </span>
  );
}
