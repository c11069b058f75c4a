import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const page = readFileSync(new URL("../../docs/design/differences.md", import.meta.url), "utf8");
const rows = page.split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| MistServer |"));
const proofs = [
  ...rows.map((row) => row.split(" | ").at(-1)?.replace(/ \|$/, "") ?? ""),
  ...[...page.matchAll(/^- .*\(([\w-]+: .+)\)[;.]$/gm)].map((match) => match[1] ?? ""),
];

describe("docs/design/differences.md", () => {
  it("has rows", () => {
    expect(rows.length).toBeGreaterThan(30);
    expect(proofs.length).toBeGreaterThan(rows.length);
  });

  it.each(proofs)("is shown by %s", (proof) => {
    const [file, ...words] = proof.split(": ");
    const text = readFileSync(new URL(`../conformance/${file}.test.ts`, import.meta.url), "utf8");
    expect(text).toContain(words.join(": "));
  });
});
