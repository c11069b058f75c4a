import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { referencePages } from "../../scripts/reference.ts";

describe("reference pages", () => {
  it.each(Object.entries(referencePages))("%s says what its table says; `node scripts/reference.ts` writes it", (path, make) => {
    expect(readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")).toBe(make());
  });
});
