import { builtInVariables } from "../base/variables.ts";
import type { Settings } from "./settings.ts";

/** A variable of the operator's, for `$name` in sources and names of streams to fall back to. */
export type OwnVariable = {
  readonly value: string;
  /** What gives the value: a URL, or a command line; left out: the value stands for itself. */
  readonly target?: string;
  /** Seconds from one question to the next; 0 asks once. */
  readonly interval: number;
  /** Seconds that an answer may take; 0: as long as the interval, at least one. */
  readonly waitTime: number;
};

const mostNameLength = 31;
const mostValueBytes = 127;
const longestSeconds = 86_400;

/** What is configured and can be used, by name. */
export function ownVariables({ kept }: Pick<Settings, "kept">): Readonly<Record<string, OwnVariable>> {
  const stored = kept["variables"];
  if (typeof stored !== "object" || stored === null) return {};
  return Object.fromEntries(
    Object.entries(stored).flatMap(([name, value]) => {
      const variable = readVariable(name, value);
      return variable ? [[name, variable] as const] : [];
    }),
  );
}

/** Reads one variable as MistServer writes it; undefined if the name or the value cannot be used. */
export function readVariable(name: string, stored: unknown): OwnVariable | undefined {
  if (!/^\w+$/.test(name) || name.length > mostNameLength || builtInVariables.includes(name)) return undefined;
  if (typeof stored !== "object" || stored === null) return undefined;
  const { value = "", target = "", interval = 0, waitTime = 0 } = stored as Readonly<Record<string, unknown>>;
  const text = typeof value === "number" ? String(value) : value;
  const [every, wait] = [Number(interval), Number(waitTime)];
  if (typeof text !== "string" || typeof target !== "string" || !isSeconds(every) || !isSeconds(wait)) return undefined;
  return { value: variableValue(text), ...(target.trim() !== "" && { target: target.trim() }), interval: every, waitTime: wait };
}

/** A value in its final form: without white space around it or control characters in it, at most 127 bytes. */
export function variableValue(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this removes
  const clean = text.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  const bytes = new TextEncoder().encode(clean);
  return bytes.length <= mostValueBytes ? clean : new TextDecoder().decode(bytes.subarray(0, mostValueBytes)).replace(/\ufffd+$/, "");
}

function isSeconds(value: number): boolean {
  return Number.isFinite(value) && value >= 0 && value <= longestSeconds;
}
