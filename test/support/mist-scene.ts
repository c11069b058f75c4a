import { type TriggerName, triggers } from "../../src/triggers/table.ts";
import { type Sluice, type SluiceOptions, startSluice } from "./sluice.ts";
import { startTriggerServer, type TriggerCall, type TriggerServer } from "./trigger-server.ts";

/** What a handler in MistServer's form answers. */
export type Said = string | { status: number; body: string };
export type Sayer = (call: TriggerCall) => Said | Promise<Said>;

/** A real server with a configuration of MistServer's shape, whose HTTP handlers say what the test wants at the moment. */
export interface MistScene extends AsyncDisposable {
  readonly sluice: Sluice;
  readonly asked: TriggerServer;
  /** Takes the place of the usual answers (yes, or the same value again) until `reset`. */
  readonly says: Partial<Record<TriggerName, Sayer>>;
  /** Replaces the whole table of triggers through the API. */
  configure(table: Readonly<Record<string, readonly unknown[]>>): Promise<void>;
  /** The table with which the scene began, with `changes` on top. */
  table(changes?: Readonly<Record<string, readonly unknown[]>>): Record<string, readonly unknown[]>;
  /** Usual answers, the table of the beginning. */
  reset(): Promise<void>;
  /** Calls since the last `mark` (or the beginning). */
  since(name?: TriggerName): readonly TriggerCall[];
  mark(): void;
}

/** The line that a rewrite is about. */
const valueLine: Partial<Record<TriggerName, number>> = { RTMP_PUSH_REWRITE: 0, PUSH_REWRITE: 2, PLAY_REWRITE: 0 };

/** Yes, the same value, or nothing: the answer of a handler that changes nothing. */
function usual(call: TriggerCall): string {
  const name = call.name as TriggerName;
  if (triggers[name].answer === "verdict") return "true";
  return call.lines[valueLine[name] ?? Number.POSITIVE_INFINITY] ?? "";
}

export async function startMistScene(
  names: readonly TriggerName[],
  config: Readonly<Record<string, unknown>>,
  options: Omit<SluiceOptions, "config"> = {},
): Promise<MistScene> {
  const says: Partial<Record<TriggerName, Sayer>> = {};
  const asked = await startTriggerServer((call) => says[call.name as TriggerName]?.(call) ?? usual(call));
  const beginning = Object.fromEntries(names.map((name) => [name, [{ handler: asked.url, sync: true, streams: [] }]]));
  const { streams, account, ...rest } = config;
  const sluice = await startSluice({
    ...options,
    config: { config: { ...rest, triggers: beginning }, streams, ...(account !== undefined && { account }) },
  }).catch(async (error: unknown) => {
    await asked[Symbol.asyncDispose]();
    throw error;
  });
  let marked = 0;
  const configure = async (table: Readonly<Record<string, readonly unknown[]>>): Promise<void> => {
    await sluice.api({ config: { triggers: table } });
  };
  return {
    sluice,
    asked,
    says,
    configure,
    table: (changes = {}) => ({ ...beginning, ...changes }),
    reset: async () => {
      for (const name of Object.keys(says) as TriggerName[]) delete says[name];
      await configure(beginning);
    },
    since: (name) => asked.calls.slice(marked).filter((call) => name === undefined || call.name === name),
    mark: () => void (marked = asked.calls.length),
    [Symbol.asyncDispose]: async () => {
      await sluice[Symbol.asyncDispose]();
      await asked[Symbol.asyncDispose]();
    },
  };
}
