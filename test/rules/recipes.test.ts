import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root } from "../support/source-files.ts";

const folder = join(root, "docs/recipes");
const index = readFileSync(join(folder, "README.md"), "utf8");
const recipes = readdirSync(folder).filter((name) => name.endsWith(".md") && name !== "README.md");

describe("docs/recipes", () => {
  it("has every recipe in its table once, and nothing that is not there", () => {
    const rows = index.split("\n").filter((line) => line.startsWith("| "));
    const linked = rows.flatMap((line) => [...line.matchAll(/\]\(([^)#]+)\)/g)].map(([, target = ""]) => target));
    expect(linked.toSorted()).toEqual(recipes.toSorted());
  });

  it.each(recipes)("%s links only to files that are there, and is run by the tests that it names", (name) => {
    const page = readFileSync(join(folder, name), "utf8");
    const links = [...page.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, target = ""]) => target);
    expect(links.filter((target) => !existsSync(join(folder, target)))).toEqual([]);
    const runners = new Set([...page.matchAll(/<!-- run by (\S+) -->/g)].map(([, file = ""]) => file));
    const missing = [...runners].filter(
      (file) => !existsSync(join(root, file)) || !readFileSync(join(root, file), "utf8").includes(name.replace(/\.md$/, "")),
    );
    expect(missing).toEqual([]);
  });
});
