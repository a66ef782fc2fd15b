// The fleet as the console knows it: loaded once, then kept by the event stream. Twenty thousand vehicles
// are plain objects in a map; what draws them is told a few times a second at most.

import { createSignal, type Accessor } from "solid-js";

import { follow, pause, type Link } from "../api/events";
import type { Client } from "../api/client";
import { Problem } from "../api/problem";
import type { Company, FleetEvent } from "../api/types";
import { byPlate } from "./tree";
import { fromVehicle, placed, setOnline, TRAIL_MAX, withLatest, withPosition, withTrail, type VehicleState } from "./state";

const TELL_EVERY_MS = 250;
/** A large fleet is redrawn less often: each time costs more, and shows less of a difference. */
const LARGE = { vehicles: 2_000, tellEvery_ms: 1_000 };
/** Reloads asked for by lagging, new vehicles or a reopened stream happen at most this often. */
const RELOAD_EVERY_MS = 5_000;

/** A small fleet starts with the trail of the last minutes; a large one makes its own while one watches. */
const TRAILS = { vehicles: 60, atOnce: 4, last_ms: 8 * 60_000 };

export interface Summary {
  total: number;
  online: number;
  alarms: number;
}

export class Fleet {
  readonly companies: Accessor<Company[]>;
  /** Rises whenever a vehicle changed; read it to be told. */
  readonly version: Accessor<number>;
  /** Rises with every alarm event, and where some may have been missed. */
  readonly alarmVersion: Accessor<number>;
  readonly link: Accessor<Link>;
  readonly ready: Accessor<boolean>;
  readonly problem: Accessor<Problem | null>;

  private readonly vehicles = new Map<number, VehicleState>();
  private readonly changed = new Set<number>();
  private readonly drawers = new Set<(changed: ReadonlySet<number>) => void>();
  private readonly stop = new AbortController();
  private sorted: VehicleState[] | undefined;
  private telling: ReturnType<typeof setTimeout> | undefined;
  private reloadWanted = false;
  private reloading = false;
  /** Terminals that came (true) or went since the load began: what it reads may be older than that. */
  private readonly presence = new Map<number, boolean>();

  private readonly set: {
    companies: (companies: Company[]) => void;
    version: () => void;
    alarmVersion: () => void;
    link: (link: Link) => void;
    ready: (ready: boolean) => void;
    problem: (problem: Problem | null) => void;
  };

  constructor(private readonly client: Client) {
    const [companies, setCompanies] = createSignal<Company[]>([]);
    const [version, setVersion] = createSignal(0);
    const [alarmVersion, setAlarmVersion] = createSignal(0);
    const [link, setLink] = createSignal<Link>("connecting");
    const [ready, setReady] = createSignal(false);
    const [problem, setProblem] = createSignal<Problem | null>(null);
    this.companies = companies;
    this.version = version;
    this.alarmVersion = alarmVersion;
    this.link = link;
    this.ready = ready;
    this.problem = problem;
    this.set = {
      companies: setCompanies,
      version: () => setVersion((n) => n + 1),
      alarmVersion: () => setAlarmVersion((n) => n + 1),
      link: setLink,
      ready: setReady,
      problem: setProblem,
    };
  }

  /** Loads and follows until `close`. The stream opens first, so that nothing falls between the two. */
  open(): void {
    const hooks = {
      onEvents: (events: FleetEvent[]) => this.take(events),
      onMissed: () => {
        this.set.alarmVersion();
        this.reload();
      },
      onLink: (link: Link) => this.set.link(link),
    };
    void follow(this.client, hooks, this.stop.signal);
    this.reload();
  }

  close(): void {
    this.stop.abort();
    clearTimeout(this.telling);
    this.drawers.clear();
  }

  /** By plate. */
  states(): readonly VehicleState[] {
    // Sorting twenty thousand takes longer than everything else that is done with a change: once a load is enough.
    return (this.sorted ??= [...this.vehicles.values()].sort(byPlate));
  }

  find(id: number): VehicleState | undefined {
    return this.vehicles.get(id);
  }

  summary(): Summary {
    const summary = { total: this.vehicles.size, online: 0, alarms: 0 };
    for (const state of this.vehicles.values()) {
      if (!state.online) continue;
      summary.online += 1;
      if (state.position?.alarms.length) summary.alarms += 1;
    }
    return summary;
  }

  /** Calls `draw` with the ids that changed, and once with all of them now. */
  onChange(draw: (changed: ReadonlySet<number>) => void): () => void {
    this.drawers.add(draw);
    draw(new Set(this.vehicles.keys()));
    return () => this.drawers.delete(draw);
  }

  /** Loads everything again soon; many wishes make one load. */
  reload(): void {
    this.reloadWanted = true;
    if (!this.reloading) void this.reloadLoop();
  }

  private async reloadLoop(): Promise<void> {
    this.reloading = true;
    while (this.reloadWanted && !this.stop.signal.aborted) {
      this.reloadWanted = false;
      try {
        await this.load();
        this.set.problem(null);
        if (!this.ready() && this.vehicles.size <= TRAILS.vehicles) void this.loadTrails();
        this.set.ready(true);
      } catch (error) {
        if (this.stop.signal.aborted) break;
        const problem = error instanceof Problem ? error : new Problem(0, String(error), "");
        this.set.problem(problem);
        this.reloadWanted = problem.transient;
      }
      await pause(RELOAD_EVERY_MS, this.stop.signal);
    }
    this.reloading = false;
  }

  private async load(): Promise<void> {
    this.presence.clear();
    const { signal } = this.stop;
    const [companies, vehicles] = await Promise.all([this.client.companies(signal), this.client.vehicles(signal)]);
    const present = new Set(vehicles.map(({ id }) => id));
    for (const vehicle of vehicles) {
      const state = fromVehicle(vehicle, this.vehicles.get(vehicle.id));
      this.vehicles.set(vehicle.id, state);
      for (const { id } of vehicle.terminals) this.recall(state, id);
      this.changed.add(vehicle.id);
    }
    for (const id of [...this.vehicles.keys()]) {
      if (!present.has(id)) {
        this.vehicles.delete(id);
        this.changed.add(id);
      }
    }
    this.sorted = undefined;
    this.set.companies(companies);
    await this.client.latest((page) => {
      for (const latest of page) {
        const state = typeof latest.vehicle_id === "number" ? this.vehicles.get(latest.vehicle_id) : undefined;
        if (!state) continue;
        withLatest(state, latest);
        this.recall(state, latest.terminal_id);
        this.changed.add(state.vehicle.id);
      }
      this.tellSoon();
    }, signal);
    this.tellSoon();
  }

  private recall(state: VehicleState, terminal: number): void {
    const online = this.presence.get(terminal);
    if (online !== undefined) setOnline(state, terminal, online);
  }

  private async loadTrails(): Promise<void> {
    const rest = this.states().filter(({ online, position }) => online && placed(position));
    const one = async () => {
      for (let state = rest.pop(); state && !this.stop.signal.aborted; state = rest.pop()) {
        const { id } = state.vehicle;
        const [from, to] = [new Date(Date.now() - TRAILS.last_ms), new Date(Date.now() + 60_000)];
        const { points } = await this.client.track(id, from, to, TRAIL_MAX, this.stop.signal, () => undefined);
        const current = this.vehicles.get(id);
        if (current) withTrail(current, points);
      }
    };
    // An ornament: without it, trails begin now.
    await Promise.all(Array.from({ length: TRAILS.atOnce }, one)).catch(() => undefined);
  }

  private take(events: FleetEvent[]): void {
    for (const event of events) {
      if (event.type === "alarm") this.set.alarmVersion();
      if (event.type === "presence") this.presence.set(event.terminal, event.presence === "online");
      const id = event.vehicle_id;
      // A terminal in stock: there is nothing to draw.
      if (typeof id !== "number") continue;
      const state = this.vehicles.get(id);
      if (!state) {
        // A vehicle that was not there at the load: it has been added since.
        if (this.ready()) this.reload();
        continue;
      }
      if (event.type === "position") {
        // It says nothing of the link: what a terminal sent last is often stored after it has gone.
        if (withPosition(state, event)) this.changed.add(id);
      } else if (event.type === "presence") {
        setOnline(state, event.terminal, event.presence === "online");
        if (event.presence === "online") state.lastSeen = new Date().toISOString();
        this.changed.add(id);
      }
    }
    if (this.changed.size) this.tellSoon();
  }

  private tellSoon(): void {
    this.telling ??= setTimeout(() => {
      this.telling = undefined;
      const changed = new Set(this.changed);
      this.changed.clear();
      for (const draw of this.drawers) draw(changed);
      this.set.version();
    }, this.vehicles.size > LARGE.vehicles ? LARGE.tellEvery_ms : TELL_EVERY_MS);
  }
}
