import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { root } from "../test/support/source-files.ts";
import { type Figure, core, gate, totals } from "./session-parts.ts";
import { asked, crowd, rush } from "./session-servers.ts";

/**
 * What sessions cost: `npm run bench:sessions [PART ...]`. Each part runs in a process of its own and prints figures against the
 * bars of the issue. Times of one process are affected by what else the machine does; bytes and counts are not.
 */
const parts: Readonly<Record<string, () => Promise<readonly Figure[]>>> = { core, gate, totals, asked, rush, crowd };
const part = parts[process.argv[3] ?? ""];
if (process.argv[2] === "part" && part) {
  const figures = await part();
  process.send?.(figures, () => process.exit(0));
} else {
  await main(process.argv.slice(2));
}

async function main(asked: readonly string[]): Promise<void> {
  const figures: Figure[] = [];
  for (const name of asked.length > 0 ? asked : Object.keys(parts)) figures.push(...(await run(name)));
  const cells = figures.map(({ what, value, unit, bar }) => [what, `${shown(value)} ${unit}`, bar === undefined ? "" : `${bar} ${unit}`]);
  const head = ["what", "measured", "bar"];
  console.log([head, head.map(() => "---"), ...cells].map((line) => `| ${line.join(" | ")} |`).join("\n"));
  mkdirSync(join(root, "bench/results"), { recursive: true });
  const at = new Date().toISOString();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release(), node: process.version };
  const file = join(root, "bench/results", `sessions-${at.replaceAll(":", "-")}.json`);
  writeFileSync(file, `${JSON.stringify({ at, machine, figures }, undefined, 2)}\n`);
}

function run(name: string): Promise<readonly Figure[]> {
  if (!parts[name]) throw new Error(`there is no part ${name}; the parts are ${Object.keys(parts).join(", ")}`);
  const child = fork(import.meta.filename, ["part", name], { execArgv: ["--expose-gc"] });
  return new Promise((resolve, reject) => {
    child.once("message", (figures) => resolve(figures as readonly Figure[]));
    child.once("exit", (code) => reject(new Error(`the part ${name} ended with ${code}`)));
  });
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
