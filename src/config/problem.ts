import { SluiceError } from "../base/errors.ts";

/**
 * The error of a wrong configuration: what is wrong in which field, what stands there and what may.
 * `where` is the file, flag or variable; a field under `account`, `jwks`, `streamkeys` or `store` is never shown.
 */
export function problem(where: string, path: readonly PropertyKey[], value: unknown, words: string, cause?: unknown): SluiceError {
  return new SluiceError("config.invalid", `${where}: ${describeProblem(path, value, words)}`, { cause });
}

/** One line about one field: `streams.live.DVR is "abc"; it must be a number of milliseconds`. */
export function describeProblem(path: readonly PropertyKey[], value: unknown, words: string): string {
  const name = fieldPath(path);
  if (value === undefined) return `${name} is missing; it must be ${words}`;
  if (["account", "jwks", "streamkeys", "store"].includes(String(path[0]))) return `${name} is wrong; it must be ${words}`;
  return `${name} is ${shown(value)}; it must be ${words}`;
}

/** Two lines of advice for a name that nobody knows: the nearest known one, or all of them. */
export function describeUnknown(path: readonly PropertyKey[], known: readonly string[], kind = "setting"): string {
  return `${fieldPath(path)} is no known ${kind}; ${advice(String(path.at(-1)), known)}`;
}

/** The same for a field whose value is the name: `policies.a.use is "x", which is no known policy; did you mean "y"?`. */
export function describeUnknownValue(path: readonly PropertyKey[], value: string, known: readonly string[], kind: string): string {
  return `${fieldPath(path)} is ${shown(value)}, which is no known ${kind}; ${advice(value, known)}`;
}

function advice(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near === undefined ? `known are ${known.join(", ")}` : `did you mean "${near}"?`;
}

/** The path as a programmer would write it: `streams.live.DVR`, `streams["a b"]`, `triggers.USER_NEW[0]`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return "the configuration";
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const name = String(part);
    if (!/^[A-Za-z0-9_$-]+$/.test(name)) return `${text}[${JSON.stringify(name)}]`;
    return text === "" ? name : `${text}.${name}`;
  }, "");
}

function shown(value: unknown): string {
  if (typeof value === "function") return "a function";
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    return "something that is no plain data";
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The name among `known` that was probably meant; undefined if none is near. */
function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Levenshtein's distance; names are cut at 64 characters, so that the cost is bounded. */
function editDistance(left: string, right: string): number {
  const a = left.slice(0, 64);
  const b = right.slice(0, 64);
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swap));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
