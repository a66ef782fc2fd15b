// The vehicle tree with its search. Only the rows in view are in the document, so it may be long.

import { createEffect, createMemo, createSignal, For, onCleanup, onMount, Show, type JSX } from "solid-js";

import { useConsole } from "../console";
import { number, t } from "../i18n";
import { Icon } from "../ui/icons";
import { Empty, Failed, Loading } from "../ui/notice";
import { stateOf } from "./state";
import { rows, type Row } from "./tree";

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
  const [active, setActive] = createSignal(0);
  let list!: HTMLDivElement;

  const all = createMemo(() => {
    fleet.version();
    const query = { text: text(), onlineOnly: onlineOnly(), closed: closed() };
    return rows(fleet.companies(), fleet.states(), query, t("vehicles.company.unknown"));
  });
  const count = createMemo(() => {
    fleet.version();
    return fleet.summary().total;
  });
  const view = createMemo(() => {
    const first = Math.max(0, Math.floor(scroll() / ROW_PX) - MARGIN_ROWS);
    const last = Math.ceil((scroll() + height()) / ROW_PX) + MARGIN_ROWS;
    return all()
      .slice(first, last)
      .map((row, n) => ({ row, index: first + n }));
  });

  onMount(() => {
    const observer = new ResizeObserver(() => setHeight(list.clientHeight));
    observer.observe(list);
    onCleanup(() => observer.disconnect());
  });
  createEffect(() => {
    // A vehicle picked on the map comes into view here.
    const id = selected();
    if (id === null) return;
    const index = all().findIndex((row) => row.kind === "vehicle" && row.id === id);
    if (index >= 0 && index !== active()) reveal(index);
  });

  const reveal = (index: number) => {
    setActive(index);
    const top = index * ROW_PX;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW_PX > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_PX - list.clientHeight;
  };
  const toggle = (id: number) =>
    setClosed((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });
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
      End: () => reveal(Math.max(0, last)),
      Enter: () => act(row),
      " ": () => act(row),
      ArrowRight: () => row?.kind === "company" && !row.open && toggle(row.id),
      ArrowLeft: () => row?.kind === "company" && row.open && toggle(row.id),
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
            onKeyDown={(event) => event.key === "ArrowDown" && list.focus()}
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
        aria-activedescendant={`row-${active()}`}
        ref={list}
        onScroll={() => setScroll(list.scrollTop)}
        onKeyDown={onKey}
        data-testid="vehicle-tree"
      >
        <div class="tree-all" style={{ height: `${all().length * ROW_PX}px` }}>
          <For each={view()}>
            {({ row, index }) => (
              <TreeRow
                row={row}
                index={index}
                active={index === active()}
                selected={row.kind === "vehicle" && row.id === selected()}
                onPick={() => {
                  setActive(index);
                  act(row);
                }}
              />
            )}
          </For>
        </div>
      </div>
    </>
  );
}

function TreeRow(props: {
  row: Row;
  index: number;
  active: boolean;
  selected: boolean;
  onPick: () => void;
}): JSX.Element {
  const place = () => ({ top: `${props.index * ROW_PX}px`, "padding-left": `${12 + props.row.depth * 16}px` });
  const { row } = props;
  if (row.kind === "company") {
    return (
      <div
        id={`row-${props.index}`}
        class="row company"
        classList={{ active: props.active }}
        role="treeitem"
        aria-level={row.depth + 1}
        aria-expanded={row.open}
        style={place()}
        onClick={() => props.onPick()}
        data-testid={`company-${row.id}`}
      >
        <span class="twist" classList={{ open: row.open }}>
          <Icon name="chevron" size={14} />
        </span>
        <span class="row-name">{row.name}</span>
        <span class="row-note">
          {number(row.online)} / {number(row.total)}
        </span>
      </div>
    );
  }
  const state = stateOf(row.state);
  const speed = row.state.position?.speed_kmh ?? 0;
  return (
    <div
      id={`row-${props.index}`}
      class="row"
      classList={{ active: props.active, selected: props.selected }}
      role="treeitem"
      aria-level={row.depth + 1}
      aria-selected={props.selected}
      style={place()}
      onClick={() => props.onPick()}
      data-testid={`vehicle-${row.id}`}
    >
      <span class={`dot dot-${state}`} title={t(`state.${state}`)} />
      <span class="row-name">{row.state.vehicle.plate}</span>
      <span class="row-note">
        {state === "offline" || state === "stopped" ? t(`state.${state}`) : `${number(speed)} ${t("unit.kmh")}`}
      </span>
    </div>
  );
}
