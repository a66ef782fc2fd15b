// Time ranges of tracks in the browser's zone, and the form that <input type="datetime-local"> speaks. Pure.

const RANGE_MAX_MS = 31 * 86_400_000;

export interface Range {
  from: Date;
  to: Date;
}

/** Midnight, `days` from today: by the calendar, as a day of a clock change is not 24 hours long. */
export function startOfDay(now: Date, days: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days);
}

export const PRESETS = {
  "track.today": (now: Date): Range => ({ from: startOfDay(now, 0), to: now }),
  "track.yesterday": (now: Date): Range => ({ from: startOfDay(now, -1), to: startOfDay(now, 0) }),
  "track.lastHour": (now: Date): Range => ({ from: new Date(now.getTime() - 3_600_000), to: now }),
} as const;

/** Whether the server would list it: it ends after it begins, and is not too long. */
export function askable({ from, to }: Range): boolean {
  const span = to.getTime() - from.getTime();
  return span > 0 && span <= RANGE_MAX_MS;
}

/**
 * What the input shows for `date`. By the calendar's parts, not by the zone's offset: while somebody types a year it is
 * the year 2, 20, 202, whose offset had seconds, and a value that comes back changed stops the typing.
 */
export function local(date: Date): string {
  if (Number.isNaN(date.getTime())) return "";
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
