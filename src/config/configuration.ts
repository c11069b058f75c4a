import type { StreamSettings } from "../access/settings.ts";
import { isSluiceError, messageOf, SluiceError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { accountSchema } from "./account.ts";
import { readLimit } from "./limit-rule.ts";
import { readListing } from "./listing.ts";
import { builtInVariables, putVariables } from "../base/variables.ts";
import type { LoadedConfiguration } from "./load.ts";
import type { SettingsPatch } from "./mist-shape.ts";
import { checkPolicyEntry } from "./policy-entries.ts";
import { type OwnVariable, ownVariables } from "./own-variables.ts";
import { checkStreamName, parseSetting, settingSchemas } from "./schema.ts";
import { type SettingValues, type Settings, streamSettings, withDefaults } from "./settings.ts";
import { checkStreamKey } from "./token-settings.ts";
import { checkEntries } from "./trigger-entries.ts";

/** Where changes are kept. A key's value is plain JSON; null means: not what the file says, but the default. */
export interface ChangeStore {
  read(): Promise<ReadonlyMap<string, unknown>>;
  /** All or none; what was written when this resolves is there after a crash. */
  write(changes: ReadonlyMap<string, unknown>): Promise<void>;
}

/** Maps whose entries are kept one by one, so that the file may gain others later. */
const maps = ["limits", "listing", "streams", "account", "kept", "streamkeys", "policies"] as const;
type MapKey = (typeof maps)[number];

/** The configuration in force, and the one way to change it while the server runs. */
export class Configuration {
  #settings: Settings;
  /** What the file says, what was changed, and both. */
  #base: SettingValues;
  readonly #kept: Map<string, unknown>;
  #values: SettingValues;
  readonly #overrides: SettingValues;
  readonly #store: ChangeStore;
  readonly #listeners = new Set<(settings: Settings, before: Settings) => void>();
  #streams = new Map<string, StreamSettings>();
  #alwaysOn: readonly string[] | undefined;
  #variables: Readonly<Record<string, OwnVariable>> | undefined;
  /** Values that targets of variables gave. */
  readonly #found = new Map<string, string>();
  #queue: Promise<void> = Promise.resolve();

  /** Use `openConfiguration`. */
  constructor(base: SettingValues, kept: ReadonlyMap<string, unknown>, overrides: SettingValues, store: ChangeStore) {
    this.#base = base;
    this.#kept = new Map(kept);
    this.#values = lay(kept, base);
    this.#overrides = overrides;
    this.#store = store;
    this.#settings = withDefaults({ ...this.#values, ...overrides });
  }

  /** Never changed in place: a change puts another object here. */
  get settings(): Settings {
    return this.#settings;
  }
  get defaultSource(): string | undefined {
    const { defaultSource } = this.#settings;
    return defaultSource === undefined ? undefined : this.#withVariables(defaultSource);
  }
  get requireToken(): boolean {
    return this.#settings.requireToken;
  }
  get defaultStream(): string {
    return this.#withVariables(this.#settings.defaultStream);
  }
  /** The session and token modes; `Settings` holds them under the same names. */
  get sessions(): Settings {
    return this.#settings;
  }

  /** What is configured under this base name. */
  stream(base: string): StreamSettings | undefined {
    const entries = this.#settings.streams;
    if (!Object.hasOwn(entries, base)) return undefined;
    let settings = this.#streams.get(base);
    const entry = entries[base];
    if (!settings && entry) {
      const written = streamSettings(entry);
      const { source, fallback_stream: fallback } = written;
      const put = {
        source: this.#withVariables(source),
        ...(fallback !== undefined && { fallback_stream: this.#withVariables(fallback) }),
      };
      settings = { ...written, ...put };
      this.#streams.set(base, settings);
    }
    return settings;
  }

  /** The operator's variables with the values that hold now. */
  variables(): Readonly<Record<string, OwnVariable>> {
    this.#variables ??= Object.fromEntries(
      Object.entries(ownVariables(this.#settings)).map(([name, one]) => [name, { ...one, value: this.#found.get(name) ?? one.value }]),
    );
    return this.#variables;
  }

  /** Takes the value that a variable's target gave. It is not kept in the store: it is asked for again after the start. */
  found(name: string, value: string): void {
    if (this.#found.get(name) === value) return;
    this.#found.set(name, value);
    this.#forget();
  }

  /** Streams that are to play all the time. */
  alwaysOn(): readonly string[] {
    this.#alwaysOn ??= Object.keys(this.#settings.streams).filter((name) => this.stream(name)?.always_on);
    return this.#alwaysOn;
  }

  /**
   * Makes one change after the other: `update` gets the settings in force and gives what is to be different.
   * It is kept in the store before it counts. Rejects with "config.invalid", and changes nothing, if a value is wrong.
   */
  change(update: (settings: Settings) => SettingsPatch): Promise<void> {
    const done = this.#queue.then(() => this.#apply(update(this.#settings)));
    this.#queue = done.catch(() => {});
    return done;
  }

  /**
   * Takes what a changed file says, under what was changed through the API. `beside` runs in the same step as
   * the listeners, before them; when it throws, nothing has changed and the promise rejects.
   * Resolves with the rows that the file changed in vain, because a change through the API counts before it.
   */
  reload(base: SettingValues, beside: () => void = () => {}): Promise<readonly string[]> {
    const done = this.#queue.then(() => {
      const hidden = [...this.#kept.keys()].filter((row) => !sameJson(rowOf(row, base), rowOf(row, this.#base)));
      beside();
      this.#base = base;
      this.#put(lay(this.#kept, base));
      return labels(hidden);
    });
    this.#queue = done.then(
      () => {},
      () => {},
    );
    return done;
  }

  /** Calls `run` after each change; dispose to stop. */
  onChange(run: (settings: Settings, before: Settings) => void): Disposable {
    this.#listeners.add(run);
    return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
  }

  async #apply(patch: SettingsPatch): Promise<void> {
    const changes = changesOf(patch, this.#values);
    if (changes.size === 0) return;
    for (const [key, value] of changes) checkChange(key, value, "the change");
    await this.#store.write(changes);
    for (const [key, value] of changes) this.#kept.set(key, value);
    this.#put(lay(changes, this.#values));
  }

  #withVariables(text: string): string {
    if (!text.includes("$")) return text;
    const values = Object.fromEntries(Object.entries(this.variables()).map(([name, { value }]) => [name, value]));
    return putVariables(text, values, builtInVariables);
  }

  #forget(): void {
    this.#streams = new Map();
    this.#alwaysOn = undefined;
    this.#variables = undefined;
  }

  #put(values: SettingValues): void {
    const before = this.#settings;
    this.#values = values;
    this.#settings = withDefaults({ ...this.#values, ...this.#overrides });
    const [old, now] = [ownVariables(before), ownVariables(this.#settings)];
    for (const name of this.#found.keys()) if (!sameJson(old[name], now[name])) this.#found.delete(name);
    this.#forget();
    for (const run of [...this.#listeners]) run(this.#settings, before);
  }
}

/** Lays the kept changes over what was loaded and says in the log which settings of the file do not count because of them. */
export async function openConfiguration(loaded: LoadedConfiguration, store: ChangeStore, log: Log): Promise<Configuration> {
  const kept = new Map<string, unknown>();
  for (const [key, value] of await store.read()) {
    try {
      checkChange(key, value, "the store");
      kept.set(key, value);
    } catch (error) {
      if (!isSluiceError(error, "config.invalid")) throw error;
      log.write("WARN", `A kept change cannot be used and is ignored: ${messageOf(error)}`);
    }
  }
  if (kept.size > 0) {
    const file = loaded.file ?? "the built-in configuration";
    log.write("CONF", `What was changed through the API counts before ${file}: ${labels(kept.keys()).join(", ")}`);
  }
  return new Configuration(loaded.values, kept, loaded.overrides, store);
}

/** A patch as rows of the store: maps entry by entry, what is gone as null. Rows that would change nothing are left out. */
function changesOf(patch: SettingsPatch, current: SettingValues): Map<string, unknown> {
  const changes = new Map<string, unknown>();
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    if (!isMapKey(key)) {
      if (!sameJson(value ?? undefined, current[key as keyof Settings])) changes.set(key, value);
      continue;
    }
    const before: Readonly<Record<string, unknown>> = current[key] ?? {};
    const after: Readonly<Record<string, unknown>> = value === null ? {} : (value as Readonly<Record<string, unknown>>);
    for (const name of Object.keys(before)) if (!Object.hasOwn(after, name)) changes.set(`${key}.${name}`, null);
    for (const [name, entry] of Object.entries(after)) {
      const same = Object.hasOwn(before, name) && sameJson(before[name], entry);
      if (!same) changes.set(`${key}.${name}`, entry ?? null);
    }
  }
  return changes;
}

function lay(changes: ReadonlyMap<string, unknown>, values: SettingValues): SettingValues {
  const result: Record<string, unknown> = { ...values };
  for (const [row, value] of changes) {
    const [key, name] = partsOf(row);
    if (name === undefined) {
      if (value === null) delete result[key];
      else result[key] = value;
      continue;
    }
    const entries = new Map(Object.entries((result[key] ?? {}) as Readonly<Record<string, unknown>>));
    if (value === null) entries.delete(name);
    else entries.set(name, value);
    result[key] = Object.fromEntries(entries);
  }
  return result;
}

function rowOf(row: string, values: SettingValues): unknown {
  const [key, name] = partsOf(row);
  const value = (values as Readonly<Record<string, unknown>>)[key];
  return name === undefined ? value : (value as Readonly<Record<string, unknown>> | undefined)?.[name];
}

/** Throws "config.invalid" unless the row is one that a change may write. */
function checkChange(row: string, value: unknown, where: string): void {
  const [key, name] = partsOf(row);
  if (name !== undefined) {
    if (key === "streamkeys") {
      if (value !== null) checkStreamKey(name, value, where);
      return;
    }
    if (key === "streams") checkStreamName(name, where);
    if (key === "limits" && value !== null) readLimit(name, value, where);
    if (key === "listing" && value !== null) readListing(name, value, where);
    if (key === "policies" && value !== null) checkPolicyEntry(value, where, [key, name]);
    if (key === "account" && value !== null && !accountSchema.safeParse(value).success)
      throw new SluiceError("config.invalid", `${where}: ${row} is no account`);
    if (value === null || key === "kept" || isObject(value)) return;
  } else if (key in settingSchemas) {
    if (value !== null) parseSetting(key as keyof typeof settingSchemas, value, where);
    return;
  } else if (key === "triggers") {
    checkEntries(value, where, key);
    return;
  } else if (key === "connectors" && (value === null || Array.isArray(value))) {
    return;
  }
  throw new SluiceError("config.invalid", `${where}: ${row} cannot be set`);
}

function partsOf(row: string): readonly [key: string, name?: string] {
  const dot = row.indexOf(".");
  return dot > 0 && isMapKey(row.slice(0, dot)) ? [row.slice(0, dot), row.slice(dot + 1)] : [row];
}

/** Names of rows as they may be shown: that of a stream key is the secret itself. */
function labels(rows: Iterable<string>): readonly string[] {
  return [...new Set([...rows].map((row) => (partsOf(row)[0] === "streamkeys" ? "streamkeys" : row)))];
}

function isMapKey(key: string): key is MapKey {
  return (maps as readonly string[]).includes(key);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sameJson(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
