// Writes src/api/schema.ts, the types of the API's document: `npm run types` after a change of openapi/v1.json.
// Types alone: what the fields mean is in the document, and a better word there is no change here.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const DOCUMENT = new URL("../../openapi/v1.json", import.meta.url);
export const FILE = new URL("../src/api/schema.ts", import.meta.url);

/** The text of the file, from the document as it is now. */
export async function schemaFile() {
  const { openapi, info, components } = JSON.parse(readFileSync(DOCUMENT, "utf8"), (key, value) =>
    typeof value === "string" && /^(description|format|title)$/.test(key) ? undefined : key.startsWith("example") ? undefined : value,
  );
  const types = await openapiTS({
    openapi,
    info: { title: "v1", version: "1", ...info },
    paths: {},
    components: { schemas: components.schemas },
  });
  const schemas = astToString(types.filter((node) => node.name?.text === "components"));
  return `// Made from openapi/v1.json by \`npm run types\`. Not to be changed by hand.\n\n${schemas}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(FILE, await schemaFile());
