import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { alarmName, duration, LANGUAGES, setLanguage, t, type Language } from ".";
import { en } from "./en";
import { zh } from "./zh";

describe("the strings", () => {
  it("have the same blanks in every language", () => {
    const blanks = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
    for (const [key, text] of Object.entries(en)) {
      expect(blanks(zh[key as keyof typeof en]), key).toEqual(blanks(text));
    }
  });

  it("say as many minutes as have passed", () => {
    setLanguageQuietly("en");
    const [second, minute, hour] = [1_000, 60_000, 3_600_000];
    expect([-5, 59.9 * second, minute, 61 * minute, 47 * hour, 49 * hour].map(duration)).toEqual([
      ...["0 s", "59 s", "1 min", "1 h 1 min", "47 h 0 min", "2 d 1 h"],
    ]);
    setLanguageQuietly("zh-CN");
    expect(duration(61 * minute)).toBe("1 小时 1 分钟");
  });

  it("are all used", () => {
    const root = new URL("..", import.meta.url);
    const files = readdirSync(root, { recursive: true, encoding: "utf8" });
    const code = files
      .filter((name) => /\.tsx?$/.test(name) && !/test\.ts$|i18n\/(en|zh)\.ts$/.test(name))
      .map((name) => readFileSync(new URL(name, root), "utf8"))
      .join("\n");
    // `state.${now}` stands for every key that begins so.
    const beginnings = [...code.matchAll(/`([a-z]+\.(?:[a-zA-Z]+\.)*)\$\{/g)].map(([, beginning]) => beginning as string);
    const sections = ["vehicles.title", "alarms.title", "pending.title", "profiles.title", "nodes.title"];
    const unused = Object.keys(en).filter(
      (key) => !code.includes(`"${key}"`) && !beginnings.some((each) => key.startsWith(each)) && !sections.includes(key),
    );
    expect(unused).toEqual([]);
  });

  it("name every alarm, known or not, in every language", () => {
    for (const tag of Object.keys(LANGUAGES) as Language[]) {
      setLanguageQuietly(tag);
      expect(alarmName("overspeed")).toBe(t("alarm.overspeed"));
      expect(alarmName("bit_47")).toBe("bit 47");
    }
  });
});

/** Without a document. */
function setLanguageQuietly(tag: Language): void {
  globalThis.document ??= { documentElement: {} } as Document;
  setLanguage(tag);
}
