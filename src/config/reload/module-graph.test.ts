import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sluice-graph-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (files: Readonly<Record<string, string>>): void => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
};

/** Runs steps in a process of its own, because the test runner has a loader of its own. `load(anew)`, `write(name, text)`, `out` are there. */
async function run(steps: string): Promise<unknown> {
  const script = `
    import { rmSync, writeFileSync } from "node:fs";
    import { join, relative } from "node:path";
    const { createModuleGraph } = await import(${JSON.stringify(new URL("./module-graph.ts", import.meta.url).href)});
    const folder = ${JSON.stringify(folder)};
    const graph = createModuleGraph();
    const load = (anew) => graph.load(join(folder, "main.ts"), anew);
    const fails = (promise) => promise.then(() => "loaded", (error) => error.message.split("\\n")[0]);
    const write = (name, text) => writeFileSync(join(folder, name), text);
    const names = (paths) => paths.map((path) => relative(folder, path)).toSorted();
    const out = [];
    ${steps}
    console.log(JSON.stringify(out));`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: tmpdir() });
  let [output, errors] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  await once(child, "close");
  expect(errors).toBe("");
  return JSON.parse(output);
}

describe("a graph of modules", () => {
  it("loads what changed and what imports it anew, and leaves the rest with its state", async () => {
    put({
      "main.ts":
        'import { left } from "./left.ts";\nimport { right } from "./lib/right.ts";\nexport const all = () => [left(), right()];\n',
      "left.ts": "let calls = 0;\nexport const left = (): number => ++calls;\n",
      "lib/right.ts": 'import { text } from "./text.ts";\nlet calls = 0;\nexport const right = () => `${text} ${++calls}`;\n',
      "lib/text.ts": 'export const text: string = "one";\n',
    });
    expect(
      await run(`
        const first = await load();
        out.push(first.all(), names(graph.files()), (await load()) === first);
        write("lib/text.ts", 'export const text = "two, longer";');
        out.push(names(graph.changed()));
        const second = await load();
        out.push(second.all(), first.all(), graph.changed());
        const third = await load(true);
        out.push(third.all());`),
    ).toEqual([
      [1, "one 1"],
      ["left.ts", "lib/right.ts", "lib/text.ts", "main.ts"],
      true,
      ["lib/text.ts"],
      [2, "two, longer 1"],
      [3, "one 2"],
      [],
      [1, "two, longer 1"],
    ]);
  });

  it("tries again after a mistake, in the module, in what it imports, and when a module is missing", async () => {
    put({ "main.ts": 'import { text } from "./text.ts";\nexport const all = text;\n', "text.ts": 'export const text = "one";\n' });
    expect(
      await run(`
        out.push((await load()).all);
        write("text.ts", "export const text = ;");
        out.push(/expression expected|Unexpected token/i.test(await fails(load())));
        write("text.ts", 'throw new Error("no database, sorry"); export const text = "two";');
        out.push(await fails(load()));
        out.push(await fails(load()));
        write("text.ts", 'import "./more.ts"; export const text = "three, and more";');
        out.push(/more\\.ts/.test(await fails(load())));
        write("more.ts", "");
        out.push((await load()).all);`),
    ).toEqual(["one", true, "no database, sorry", "no database, sorry", true, "three, and more"]);
  });

  it("sees data that a module imports, and plain JavaScript", async () => {
    put({
      "main.ts":
        'import data from "./data.json" with { type: "json" };\nimport { more } from "./more.mjs";\nexport const all = () => [data, more];\n',
      "data.json": '{ "limit": 1 }',
      "more.mjs": "export const more = 1;\n",
    });
    expect(
      await run(`
        out.push((await load()).all());
        write("data.json", '{ "limit": 1000 }');
        out.push((await load()).all());
        write("more.mjs", "export const more = 1000;");
        out.push((await load()).all());`),
    ).toEqual([
      [{ limit: 1 }, 1],
      [{ limit: 1000 }, 1],
      [{ limit: 1000 }, 1000],
    ]);
  });

  it("follows a link to the directory that it points to, also when it points elsewhere later", async () => {
    put({
      "one/main.ts": 'import { deny } from "sluice";\nimport { text } from "./text.ts";\nexport const all = deny(text);\n',
      "one/text.ts": 'export const text = "one";\n',
      "two/main.ts": 'import { text } from "./text.ts";\nexport const all = text;\n',
      "two/text.ts": 'export const text = "two";\n',
    });
    expect(
      await run(`
        const { symlinkSync } = await import("node:fs");
        symlinkSync("one/main.ts", join(folder, "main.ts"));
        out.push((await load()).all.reason);
        write("one/text.ts", 'export const text = "one, changed";');
        out.push((await load()).all.reason);
        rmSync(join(folder, "main.ts"));
        symlinkSync("two/main.ts", join(folder, "main.ts"));
        out.push((await load()).all);`),
    ).toEqual(["one", "one, changed", "two"]);
  });

  it("loads in a handler that runs late what stands there then, and never touches node_modules", async () => {
    put({
      "main.ts": 'import { id } from "thing";\nexport const late = async () => (await import("./late.ts")).text;\nexport const all = id;\n',
      "late.ts": 'export const text = "one";\n',
      "node_modules/thing/package.json": '{ "name": "thing", "type": "module", "exports": "./index.js" }',
      "node_modules/thing/index.js": "export const id = Math.random();\n",
    });
    expect(
      await run(`
        const first = await load();
        out.push(await first.late(), names(graph.files()));
        write("late.ts", 'export const text = "two, longer";');
        const second = await load();
        out.push(await second.late(), second.all === first.all, second !== first);`),
    ).toEqual(["one", ["late.ts", "main.ts"], "two, longer", true, true]);
  });
});
