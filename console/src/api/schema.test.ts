import { readFileSync } from "node:fs";

import { expect, it } from "vitest";

import { FILE, schemaFile } from "../../scripts/types.mjs";

it("is what the API's document says: `npm run types` after a change of openapi/v1.json", async () => {
  expect(readFileSync(FILE, "utf8")).toBe(await schemaFile());
}, 60_000);
