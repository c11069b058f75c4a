import { SluiceError } from "../../base/errors.ts";
import { isMask, maskOf } from "./signature.ts";

type Entries = Readonly<Record<string, unknown>>;

/**
 * `config.triggers` as it may be shown: secrets are masked. Entries without a secret are the same objects, so that what has
 * none reads back exactly as it was written.
 */
export function withoutSecrets<T extends Entries>(entries: T): T {
  return changeSecrets(entries, (secret) => (typeof secret === "string" ? maskOf(secret) : secret)) as T;
}

/**
 * What a client wrote that had read `config.triggers` before: masks become the secrets that they stand for.
 * `current` is what is in force. Throws "config.invalid" for a mask of a secret that is not there.
 */
export function withSecrets(entries: unknown, current: Entries): unknown {
  if (!isObject(entries)) return entries;
  const known = new Map<string, string>();
  changeSecrets(current, (secret) => {
    if (typeof secret === "string") known.set(maskOf(secret), secret);
    return secret;
  });
  return changeSecrets(entries, (secret) => {
    if (!isMask(secret)) return secret;
    const original = known.get(secret);
    if (original === undefined) {
      throw new SluiceError("config.invalid", `config.triggers: ${secret} stands for a secret that is not there; write the secret itself`);
    }
    return original;
  });
}

function changeSecrets(entries: Entries, change: (secret: unknown) => unknown): Entries {
  return mapped(entries, (list) => (Array.isArray(list) ? each(list, (entry) => changeEntry(entry, change)) : list)) as Entries;
}

function changeEntry(entry: unknown, change: (secret: unknown) => unknown): unknown {
  if (!isObject(entry) || !Object.hasOwn(entry, "secret")) return entry;
  const { secret } = entry;
  return { ...entry, secret: Array.isArray(secret) ? secret.map(change) : change(secret) };
}

/** The list itself when nothing changes. */
function each(list: readonly unknown[], change: (item: unknown) => unknown): readonly unknown[] {
  const changed = list.map(change);
  return changed.every((item, index) => item === list[index]) ? list : changed;
}

function mapped(entries: Entries, change: (value: unknown) => unknown): Entries {
  const changed = Object.entries(entries).map(([key, value]) => [key, change(value)] as const);
  return changed.every(([key, value]) => value === entries[key]) ? entries : Object.fromEntries(changed);
}

function isObject(value: unknown): value is Entries {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
