// Writes every generated reference page: node scripts/reference.ts. Tests fail while a page differs from what is written here.
import { mkdirSync, writeFileSync } from "node:fs";
import { triggerReference } from "../src/triggers/reference.ts";

/** The page's path in the checkout, and what makes its text. Add a line for another page. */
export const referencePages: Readonly<Record<string, () => string>> = {
  "docs/reference/triggers.md": triggerReference,
};

if (import.meta.main) {
  for (const [path, make] of Object.entries(referencePages)) {
    mkdirSync(new URL("./", new URL(`../${path}`, import.meta.url)), { recursive: true });
    writeFileSync(new URL(`../${path}`, import.meta.url), make());
    console.log(`wrote ${path}`);
  }
}
