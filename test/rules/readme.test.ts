import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadConfiguration } from "../../src/config/load.ts";
import { root } from "../support/source-files.ts";

const read = (path: string): string => readFileSync(join(root, path), "utf8");
const folder = (path: string): string[] =>
  readdirSync(join(root, path))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `${path}/${name}`);
const pages = ["README.md", "CONTRIBUTING.md", ...["docs/recipes", "docs/reference", "docs/design"].flatMap(folder)];

describe("what is written for people", () => {
  it.each(pages)("%s points at files that are there", (page) => {
    const links = [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, link]) => link ?? "");
    expect(links.filter((link) => !existsSync(join(root, dirname(page), link)))).toEqual([]);
  });

  it("README.md and CONTRIBUTING.md name scripts that are there", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const text = read("README.md") + read("CONTRIBUTING.md");
    const named = [...text.matchAll(/npm run ([\w:]+)|\b(bench:\w+)/g)].map(([, run, bench]) => run ?? bench ?? "");
    expect(named.length).toBeGreaterThan(4);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it("README.md leads to every page of reference", () => {
    const text = read("README.md");
    expect(folder("docs/reference").filter((page) => !text.includes(`(${page})`))).toEqual([]);
  });

  it("README.md names commands that are there", () => {
    const commands = [...read("README.md").matchAll(/^ {4}sluice (\w+)/gm)].map(([, name]) => name ?? "");
    expect(commands.length).toBeGreaterThan(4);
    expect(commands.filter((name) => !read("docs/reference/cli.md").includes(`## sluice ${name}\n`))).toEqual([]);
  });

  it("README.md has a configuration that loads", async () => {
    const cwd = mkdtempSync(join(tmpdir(), "sluice-readme-"));
    writeFileSync(join(cwd, "sluice.config.ts"), /^```ts\n(.*?)^```/ms.exec(read("README.md"))?.[1] ?? "");
    const { settings, handlers } = await loadConfiguration({ cwd, flags: {}, environment: {}, protocols: [] });
    rmSync(cwd, { recursive: true, force: true });
    expect([Object.keys(settings.streams), handlers.map(({ name }) => name)]).toEqual([["live"], ["PUSH_REWRITE", "USER_NEW"]]);
  });
});
