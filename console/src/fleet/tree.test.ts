import { describe, expect, it } from "vitest";

import { fromVehicle, setOnline, stateOf, withPosition, type VehicleState } from "./state";
import { carried, report } from "./testing";
import { above, byPlate, rows, type Branch, type TreeQuery } from "./tree";

const companies: Branch[] = [
  { id: 1, name: "Root", parent_id: null },
  { id: 2, name: "Buses", parent_id: 1 },
  { id: 3, name: "Trucks", parent_id: 1 },
];

function vehicle(id: number, company_id: number, plate: string, online = true): VehicleState {
  return fromVehicle(carried(id, company_id, plate, online));
}

const fleet = [vehicle(1, 2, "B10"), vehicle(2, 2, "B9", false), vehicle(3, 3, "T1"), vehicle(4, 99, "X1")].sort(byPlate);
const everything: TreeQuery = { text: "", onlineOnly: false, closed: new Set() };

function shape(query: Partial<TreeQuery>, of = companies) {
  return rows(of, fleet, { ...everything, ...query }, "Other").map((row) =>
    row.kind === "company"
      ? `${"-".repeat(row.depth)}${row.name} ${row.online}/${row.total}`
      : `${"-".repeat(row.depth)}${row.state.vehicle.plate}`,
  );
}

describe("the vehicle tree", () => {
  it("hangs vehicles under their companies, in the order in which people count", () => {
    expect(shape({})).toEqual(["Root 2/3", "-Buses 1/2", "--B9", "--B10", "-Trucks 1/1", "--T1", "Other 1/1", "-X1"]);
  });

  it("keeps a closed company's sums", () => {
    expect(shape({ closed: new Set([1]) })).toEqual(["Root 2/3", "Other 1/1", "-X1"]);
  });

  it("finds by plate, SIM and device number, also in closed companies", () => {
    expect(shape({ text: "b1", closed: new Set([1]) })).toEqual(["Root 2/3", "-Buses 1/2", "--B10"]);
    expect(shape({ text: "13900000003" })).toEqual(["Root 2/3", "-Trucks 1/1", "--T1"]);
    expect(shape({ text: "d4" })).toEqual(["Other 1/1", "-X1"]);
    expect(shape({ text: "nothing" })).toEqual([]);
  });

  it("shows only what is online where asked", () => {
    expect(shape({ onlineOnly: true })).not.toContain("--B9");
  });

  it("shows empty companies, and survives parents that are unseen or go in a ring", () => {
    const odd: Branch[] = [
      { id: 2, name: "Buses", parent_id: 77 },
      { id: 3, name: "Trucks", parent_id: 5 },
      { id: 5, name: "Ring", parent_id: 3 },
      { id: 6, name: "Empty", parent_id: null },
    ];
    const names = shape({}, odd);
    expect(names.filter((row) => row.includes("Trucks"))).toHaveLength(1);
    expect(names).toContain("Empty 0/0");
    expect(names).toContain("Buses 1/2");
  });

  it("knows what must be open to show a vehicle, also where companies go in a ring", () => {
    expect(above(companies, 3)).toEqual([3, 1]);
    expect(above(companies, 99)).toEqual([99]);
    const ring: Branch[] = [
      { id: 3, name: "Trucks", parent_id: 5 },
      { id: 5, name: "Ring", parent_id: 3 },
    ];
    expect(above(ring, 3)).toEqual([3, 5]);
  });

  it("takes twenty thousand vehicles", () => {
    const many = Array.from({ length: 20_000 }, (_, n) => vehicle(n + 1, 2 + (n % 2), `P${n}`));
    expect(rows(companies, many, everything, "Other")).toHaveLength(20_003);
  });
});

describe("a vehicle's state", () => {
  it("says alarm before moving before stopped, and nothing of it when offline", () => {
    const state = vehicle(1, 2, "B1");
    expect(stateOf(state)).toBe("stopped");
    withPosition(state, report(1_000, 10, 20, { speed_kmh: 30 }));
    expect(stateOf(state)).toBe("moving");
    withPosition(state, report(2_000, 10, 20, { speed_kmh: 30, alarms: ["overspeed"] }));
    expect(stateOf(state)).toBe("alarm");
    setOnline(state, 101, false);
    expect(stateOf(state)).toBe("offline");
  });

  it("is not thrown back by a late resend", () => {
    const state = vehicle(1, 2, "B1");
    expect(withPosition(state, report(2_000, 10, 20))).toBe(true);
    expect(withPosition(state, report(1_000, 11, 20))).toBe(false);
    expect(state.position?.longitude).toBe(10);
  });

  it("is not held back by a clock that ran ahead", () => {
    const state = vehicle(1, 2, "B1");
    const ahead = report(1_000, 10, 20, { device_time: new Date(80_000_000).toISOString() });
    expect(withPosition(state, ahead)).toBe(true);
    expect(withPosition(state, report(2_000, 11, 20))).toBe(true);
    expect(state.position?.longitude).toBe(11);
  });

  it("leaves a trail that starts anew after a jump and does not grow for ever", () => {
    const state = vehicle(1, 2, "B1");
    for (let n = 0; n < 1_000; n++) withPosition(state, report(n * 1_000, 10 + n / 10_000, 20));
    expect(state.trail.length).toBeLessThanOrEqual(480);
    withPosition(state, report(2_000_000, 50, 20));
    expect(state.trail).toEqual([[50, 20]]);
  });
});
