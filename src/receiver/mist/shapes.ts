/** An object of MistServer's JSON API. */
export type MistObject = Readonly<Record<string, unknown>>;

/** One handler of a trigger as a MistServer keeps it. Unknown members are kept; older entries are lists `[handler, sync, streams]`. */
export type MistTrigger = {
  readonly handler: string;
  /** True: the MistServer waits for the answer. */
  readonly sync: boolean;
  /** Left out or empty: all streams. */
  readonly streams?: readonly string[];
  readonly params?: string | null;
  /** What holds when the handler fails; a MistServer takes `true` where nothing is said. */
  readonly default?: string | null;
} & MistObject;

/** The member `config`. */
export type MistConfig = {
  readonly version?: string;
  readonly triggers?: Readonly<Record<string, readonly unknown[]>> | null;
} & MistObject;

/** Fields of `clients`. */
export type MistClientRow = {
  readonly host: string;
  readonly stream: string;
  /** Of publishers `INPUT:RTMP`, of outputs that are no viewers `OUTPUT:TSSRT`. */
  readonly protocol: string;
  /** Seconds. */
  readonly conntime: number;
  /** Bytes, and bytes per second, from the server's point of view: `up` is sent. */
  readonly down: number;
  readonly up: number;
  readonly downbps: number;
  readonly upbps: number;
  readonly sessid: string;
};

/** Which sessions `clients` and `totals` look at. */
export type MistPick = { readonly streams?: readonly string[]; readonly protocols?: readonly string[] };

/** `totals`: one row for each second, in the order of `fields`. */
export type MistTotals = {
  readonly fields: readonly string[];
  /** Unix seconds. */
  readonly start: number;
  readonly end: number;
  readonly data: readonly (readonly number[])[];
};

/** The rows of a reply as objects; an empty list when there is none. Gives undefined for what is no such reply. */
export function rowsOf(value: unknown): readonly MistObject[] | undefined {
  if (!isObject(value) || !Array.isArray(value.fields)) return undefined;
  const { fields, data } = value;
  if (data === null || data === undefined) return [];
  if (!Array.isArray(data)) return undefined;
  const rows = data as readonly unknown[];
  if (!rows.every((row) => Array.isArray(row))) return undefined;
  return rows.map((row) => Object.fromEntries(fields.map((field, at) => [String(field), row[at]])));
}

export function isObject(value: unknown): value is MistObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
