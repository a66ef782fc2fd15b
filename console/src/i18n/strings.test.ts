import { describe, expect, it } from "vitest";

import { alarmName, LANGUAGES, setLanguage, t, type Language } from ".";
import { en } from "./en";
import { zh } from "./zh";

describe("the strings", () => {
  it("have the same blanks in every language", () => {
    const blanks = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
    for (const [key, text] of Object.entries(en)) {
      expect(blanks(zh[key as keyof typeof en]), key).toEqual(blanks(text));
    }
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
