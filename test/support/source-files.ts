import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** The checkout's root. */
export const root: string = resolve(import.meta.dirname, "../..");

/** One import or re-export statement. `target` is a path below src, or the bare name of a package or `node:` module. */
export type Import = { readonly target: string; readonly typeOnly: boolean };
export type SourceFile = { readonly path: string; readonly lines: number; readonly text: string; readonly imports: readonly Import[] };

/** All sources below src without tests, with paths relative to src. */
export function sourceFiles(): readonly SourceFile[] {
  const src = join(root, "src");
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && !path.endsWith(".test-d.ts"))
    .toSorted()
    .map((path) => {
      const text = readFileSync(join(src, path), "utf8");
      return { path, text, lines: text.split("\n").length - 1, imports: importsOf(text, join(src, path), src) };
    });
}

function importsOf(text: string, file: string, src: string): Import[] {
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(?:(type)\s+)?((?:[\w*$,\s]|\{[^}]*\})*?)\s*\bfrom\s+["']([^"']+)["']/gm;
  for (const [, type, names = "", specifier = ""] of text.matchAll(statement)) {
    const braces = /\{([^}]*)\}/.exec(names)?.[1];
    const outside = names.replace(/\{[^}]*\}/, "").replace(/[,\s]/g, "");
    const allTypes =
      braces !== undefined &&
      outside === "" &&
      braces.trim() !== "" &&
      braces.split(",").every((name) => !name.trim() || name.trim().startsWith("type "));
    const target = specifier.startsWith(".") ? relative(src, resolve(dirname(file), specifier)) : specifier;
    found.push({ target, typeOnly: type !== undefined || allTypes });
  }
  for (const [, specifier = ""] of text.matchAll(/(?:^import\s+|\bimport\(\s*)["']([^"']+)["']/gm)) {
    found.push({ target: specifier.startsWith(".") ? relative(src, resolve(dirname(file), specifier)) : specifier, typeOnly: false });
  }
  return found;
}
