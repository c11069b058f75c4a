import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "./source-files.ts";

const run = promisify(execFile);

/**
 * Makes TypeScript types of an OpenAPI document, as somebody who writes a client would. openapi-typescript works with the
 * JavaScript API of TypeScript 5, which TypeScript 7 does not have: it gets the copy that @ts-morph/common carries.
 */
export async function clientTypes(document: Readonly<Record<string, unknown>>): Promise<string> {
  const shim = `data:text/javascript,export { ts as default } from ${JSON.stringify(import.meta.resolve("@ts-morph/common"))};`;
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      specifier === "typescript" ? { url: shim, format: "module", shortCircuit: true } : next(specifier, context),
  });
  try {
    const { default: generate, astToString } = await import("openapi-typescript");
    return astToString(await generate(structuredClone(document) as never));
  } finally {
    hooks.deregister();
  }
}

/** A program in a folder of its own that has the checkout's packages. Dispose to remove it. */
export interface ClientProgram extends Disposable {
  /** What the project's own TypeScript complains about; empty when nothing. */
  check(): Promise<string>;
  /** Runs it; resolves with what it printed, rejects when it fails. */
  run(environment: Readonly<Record<string, string>>): Promise<string>;
}

/** Writes a program of these files; `main.ts` is run. */
export function clientProgram(files: Readonly<Record<string, string>>): ClientProgram {
  const folder = mkdtempSync(join(tmpdir(), "sluice-client-"));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const options = {
    strict: true,
    noUncheckedIndexedAccess: true,
    module: "nodenext",
    target: "esnext",
    lib: ["esnext", "dom"],
    types: ["node"],
    noEmit: true,
    allowImportingTsExtensions: true,
    erasableSyntaxOnly: true,
    skipLibCheck: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["*.ts"] }));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  return {
    async check() {
      try {
        await run(join(root, "node_modules/.bin/tsc"), ["-p", folder]);
        return "";
      } catch (error) {
        return (error as { readonly stdout: string }).stdout;
      }
    },
    async run(environment) {
      return (await run(process.execPath, [join(folder, "main.ts")], { env: { ...process.env, ...environment } })).stdout;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
