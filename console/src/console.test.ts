import { expect, it } from "vitest";

import { Problem } from "./api/problem";
import { words } from "./console";

it("says what is away where the server says it, and hides why it failed", () => {
  expect(words(new Problem(503, "Service Unavailable", "etcd is away"))).toBe(
    "This cannot be done at the moment. Please try again. Etcd is away.",
  );
  expect(words(new Problem(503, "Service Unavailable", ""))).toBe("This cannot be done at the moment. Please try again.");
  expect(words(new Problem(502, "Bad Gateway", "upstream"))).toBe("This cannot be done at the moment. Please try again.");
  expect(words(new Problem(500, "Internal Server Error", "a secret"))).toBe("The server failed.");
});
