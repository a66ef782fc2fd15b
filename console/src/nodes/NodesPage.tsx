// The nodes of the cluster, for those who run the platform: how they are, draining them, what happened to them.

import { createSignal, For, Show, type JSX } from "solid-js";
import { createStore, reconcile } from "solid-js/store";

import type { Cluster, ClusterNode } from "../api/types";
import { useConsole } from "../console";
import { number, t, time, type Key } from "../i18n";
import { createAction, FormError, SureButton } from "../ui/controls";
import { Empty, Failed, Loading } from "../ui/notice";
import { NodeEvents } from "./NodeEvents";
import { createRefresh } from "./refresh";
import { clockOff_s, percent, statesOf } from "./state";

/** Nodes ask each other each second; nobody looks at a table that often. */
const REFRESH_MS = 3_000;
const GIB = 2 ** 30;

const COLUMNS = ["name", "roles", "version", "state", "terminals", "viewers", "cpu", "memory", "storage", "started"] as const;

export function NodesPage(): JSX.Element {
  const { client } = useConsole();
  // By name, so that a refresh takes no button away from under a hand.
  const [known, setKnown] = createStore<{ cluster: Cluster | null }>({ cluster: null });
  const [changes, setChanges] = createSignal(0);
  const { error, refresh } = createRefresh(async (signal) => {
    const cluster = await client.cluster(signal);
    setKnown("cluster", reconcile(cluster, { key: "name" }));
  }, REFRESH_MS);
  const changed = () => {
    refresh();
    setChanges((count) => count + 1);
  };

  return (
    <section class="sheet" aria-labelledby="nodes-title" data-testid="nodes">
      <h1 id="nodes-title">{t("nodes.title")}</h1>
      <Show when={error()}>{(problem) => <Failed error={problem()} retry={refresh} />}</Show>
      <Show when={known.cluster === null && !error()}>
        <Loading />
      </Show>
      <Show when={known.cluster}>
        {(cluster) => {
          const alone = () => cluster().nodes.length === 1 && !cluster().leader;
          return (
            <>
              <p class="quiet" data-testid="nodes-lead">
                {lead(cluster(), alone())}
              </p>
              <Show when={cluster().etcd_away_since}>
                {(since) => (
                  <p class="warn" role="alert" data-testid="etcd-away">
                    {t("nodes.etcdAway", { time: time(since()) })}
                  </p>
                )}
              </Show>
              <Show when={cluster().nodes.length} fallback={<Empty title={t("nodes.none")} />}>
                <div class="nodes-scroll">
                  <table class="nodes">
                    <thead>
                      <tr>
                        <For each={COLUMNS}>{(column) => <th scope="col">{t(`nodes.column.${column}` as Key)}</th>}</For>
                        <th />
                      </tr>
                    </thead>
                    <tbody>
                      <For each={cluster().nodes}>{(node) => <NodeRow node={node} alone={alone()} onChange={changed} />}</For>
                    </tbody>
                  </table>
                </div>
              </Show>
            </>
          );
        }}
      </Show>
      <NodeEvents changes={changes()} />
    </section>
  );
}

function lead(cluster: Cluster, alone: boolean): string {
  if (alone) return t("nodes.alone");
  const leader = cluster.leader ? t("nodes.led", { node: cluster.leader.node }) : t("nodes.noLeader");
  return `${leader} ${t("nodes.toldBy", { node: cluster.node })}`;
}

function NodeRow(props: { node: ClusterNode; alone: boolean; onChange: () => void }): JSX.Element {
  const { client } = useConsole();
  const { busy, message, act } = createAction();
  const change = async (work: () => Promise<unknown>) => {
    if (await act(work)) props.onChange();
  };
  const load = () => props.node.sighting?.load;

  return (
    <tr data-testid={`node-${props.node.name}`}>
      <th scope="row">{props.node.name}</th>
      <td>{props.node.roles.map((role) => t(`nodes.role.${role}` as Key)).join(", ")}</td>
      <td>{props.node.version}</td>
      <td>
        <div class="chips">
          <For each={statesOf(props.node)}>
            {(state) => (
              <span class={`chip chip-node-${state}`} data-testid="node-state">
                {t(`nodes.state.${state}` as Key, { seconds: number(clockOff_s(props.node), 1) })}
              </span>
            )}
          </For>
        </div>
      </td>
      <td class="figure">{load() ? limited(load()?.terminals ?? 0, props.node) : "–"}</td>
      <td class="figure">{load() ? number(load()?.viewers ?? 0) : "–"}</td>
      <td class="figure">{load() ? `${number((load()?.cpu_permille ?? 0) / 10, 1)} %` : "–"}</td>
      <td class="figure">{space(load()?.memory_bytes, load()?.memory_max_bytes)}</td>
      <td class="figure">{space(load()?.storage_bytes, load()?.storage_max_bytes)}</td>
      <td>{time(props.node.started_at)}</td>
      <td>
        <Show when={!props.alone}>
          <Show
            when={props.node.draining}
            fallback={
              <SureButton
                label={t("nodes.drain")}
                sure={t("nodes.drain.sure")}
                disabled={busy()}
                onSure={() => void change(() => client.drain(props.node.name))}
                testid="node-drain"
              />
            }
          >
            <SureButton
              label={t("nodes.undrain")}
              sure={t("nodes.undrain.sure")}
              icon="undo"
              disabled={busy()}
              onSure={() => void change(() => client.undrain(props.node.name))}
              testid="node-undrain"
            />
          </Show>
        </Show>
        <FormError message={message()} />
      </td>
    </tr>
  );
}

/** Against its limit where it takes terminals at all. */
function limited(terminals: number, node: ClusterNode): string {
  if (!node.roles.includes("gateway")) return "–";
  return t("nodes.of", { part: number(terminals), whole: number(node.terminals_max) });
}

function space(bytes: number | undefined, max: number | undefined): string {
  const share = percent(bytes ?? 0, max ?? 0);
  if (bytes === undefined || max === undefined || share === null) return "–";
  return `${t("nodes.gib", { part: number(bytes / GIB, 1), whole: number(max / GIB, 1) })} (${share} %)`;
}
