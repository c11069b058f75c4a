import { execFile } from "node:child_process";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Clock } from "../base/time.ts";

/** A variable whose value something else gives. Seconds; `interval` 0 asks once. */
type Targeted = { readonly target?: string; readonly interval: number; readonly waitTime: number };

export type VariableTargetOptions = {
  readonly clock: Pick<Clock, "every">;
  readonly log: Log;
  /** Takes a value, as it came. */
  readonly found: (name: string, value: string) => void;
};

/** Asks targets for the values of variables. Dispose to stop. */
export interface VariableTargets extends Disposable {
  /** Makes these all that are asked: new and changed ones at once. */
  configure(variables: Readonly<Record<string, Targeted>>): void;
}

const mostAnswerBytes = 64 * 1024;

/**
 * MistServer's targets: a URL is fetched (`X-Custom-Variable` has the variable's name), anything else is a command line, split at
 * white space outside quotes and run without a shell (`MIST_CUSTOM_VARIABLE` has the name). A target that fails changes nothing.
 */
export function createVariableTargets({ clock, log, found }: VariableTargetOptions): VariableTargets {
  const running = new Map<string, { readonly key: string; readonly stop: AbortController; readonly timer: Disposable | undefined }>();
  const end = (name: string): void => {
    const one = running.get(name);
    one?.timer?.[Symbol.dispose]();
    one?.stop.abort();
    running.delete(name);
  };
  const begin = (name: string, key: string, { target = "", interval, waitTime }: Targeted): void => {
    const stop = new AbortController();
    const limitMs = Math.max(1, waitTime > 0 ? waitTime : interval) * 1000;
    let asking = false;
    const ask = async (): Promise<void> => {
      if (asking) return;
      asking = true;
      const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(limitMs)]);
      try {
        const value = /^https?:\/\//i.test(target) ? await fetched(target, name, signal) : await printed(target, name, signal);
        if (!stop.signal.aborted) found(name, value);
      } catch (error) {
        if (!stop.signal.aborted) log.write("WARN", `The variable ${name} keeps its value: ${whyOf(error, limitMs)}`);
      } finally {
        asking = false;
      }
    };
    const timer = interval > 0 ? clock.every(Math.max(1, interval) * 1000, () => void ask()) : undefined;
    running.set(name, { key, stop, timer });
    void ask();
  };
  return {
    configure(variables) {
      for (const name of [...running.keys()]) if (variables[name]?.target === undefined) end(name);
      for (const [name, variable] of Object.entries(variables)) {
        const { target, interval, waitTime } = variable;
        const key = JSON.stringify([target, interval, waitTime]);
        if (target === undefined || running.get(name)?.key === key) continue;
        end(name);
        begin(name, key, variable);
      }
    },
    [Symbol.dispose]() {
      for (const name of [...running.keys()]) end(name);
    },
  };
}

async function fetched(url: string, name: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal, headers: { "X-Custom-Variable": name } });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`the answer is ${response.status}`);
  }
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > mostAnswerBytes) throw new Error(`the answer is longer than ${mostAnswerBytes} bytes`);
  }
  return text;
}

function printed(target: string, name: string, signal: AbortSignal): Promise<string> {
  const [command = "", ...rest] = words(target);
  return new Promise((resolve, reject) => {
    const environment = { ...process.env, MIST_CUSTOM_VARIABLE: name };
    execFile(command, rest, { signal, env: environment, maxBuffer: mostAnswerBytes, killSignal: "SIGKILL" }, (error, output) => {
      if (error) reject(error);
      else resolve(output);
    });
  });
}

/** Splits a command line at white space; quotes of both kinds hold together. */
export function words(line: string): readonly string[] {
  return [...line.matchAll(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g)].map(([word]) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}

/** In words without the target, which may hold a secret. */
function whyOf(error: unknown, limitMs: number): string {
  const { name, code } = error as { readonly name?: string; readonly code?: unknown };
  if (name === "AbortError" || name === "TimeoutError") return `its target did not answer within ${limitMs / 1000} s`;
  if (code === "ENOENT") return "its command is not there";
  if (typeof code === "number") return `its command ended with ${code}`;
  const cause = (error as { readonly cause?: { readonly code?: unknown } }).cause?.code;
  if (typeof cause === "string") return `its target cannot be reached (${cause})`;
  return messageOf(error).replace(/https?:\S+/g, "its target");
}
