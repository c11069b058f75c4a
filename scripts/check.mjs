// npm run check: types, lint, format, dead code, import rules and unit tests, in about a minute.
import { installPackages, root, runNode } from "./setup.mjs";

installPackages();
const bin = `${root}/node_modules`;
const steps = [
  ["types", [`${bin}/typescript/bin/tsc`, "-p", "."]],
  ["lint", [`${bin}/oxlint/bin/oxlint`, "--deny-warnings"]],
  ["format", [`${bin}/@biomejs/biome/bin/biome`, "format", "."]],
  ["dead code", [`${bin}/knip/bin/knip.js`]],
  ["import rules and unit tests", [`${bin}/vitest/vitest.mjs`, "run", "--project", "unit", "--maxWorkers=3"]],
];
for (const [name, args] of steps) {
  console.error(`== ${name}`);
  const code = await runNode(args);
  if (code !== 0) process.exit(code);
}
