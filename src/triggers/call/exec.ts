import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import type { Clock } from "../../base/time.ts";
import { HandlerFailure, type Reply } from "../answer.ts";

export type ExecCall = {
  readonly path: string;
  /** The trigger's name: the only argument. */
  readonly argument: string;
  /** Goes to standard input, which is then closed. */
  readonly body: string;
  /** Added to the server's own environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** False: only the start is waited for; the process may run as long as it likes and its output is read and dropped. */
  readonly wantsAnswer: boolean;
  /** An exit code other than 0, or a signal, is a failure. */
  readonly mustSucceed?: boolean;
  readonly limits: ExecLimits;
  readonly clock: Clock;
  /** Aborted when the server ends: a process that should answer is killed with all that it started, another one is let go. */
  readonly signal: AbortSignal;
};

/** Milliseconds after which a process that should answer is asked to end, and is killed. */
export type ExecLimits = { readonly termMs: number; readonly killMs: number };

/** MistServer's limits. */
export const defaultExecLimits: ExecLimits = { termMs: 10_000, killMs: 14_000 };

/** The limits of a handler with a time limit of its own: as long after it as else, it is killed. */
export function execLimits(timeoutMs: number | undefined, usual: ExecLimits): ExecLimits {
  return timeoutMs === undefined ? usual : { termMs: timeoutMs, killMs: timeoutMs + usual.killMs - usual.termMs };
}

const maxAnswer = 1 << 20;
/** A child that goes on in the background may hold the output open; what is printed by then is the answer. */
const graceMs = 250;

/**
 * Runs an executable handler in a process group of its own. Its output is the answer and its exit code does not count. Who
 * had to be stopped and has printed nothing has failed, as has who could not be started; then the promise is rejected.
 */
export function runExecutable(call: ExecCall): Promise<Reply> {
  return new Promise((resolve, reject) => {
    if (call.signal.aborted) return reject(call.signal.reason);
    const child = start(call);
    const chunks: Buffer[] = [];
    let length = 0;
    let stopped: HandlerFailure | undefined;
    let oversized = false;
    let failed: HandlerFailure | undefined;
    const timers = new DisposableStack();
    const settle = (finish: () => void): void => {
      timers.dispose();
      call.signal.removeEventListener("abort", onAbort);
      child.stdout?.removeListener("data", onData);
      letGo(child);
      finish();
    };
    const finish = (): void =>
      settle(() => {
        if (stopped && (length === 0 || oversized)) reject(stopped);
        else if (call.mustSucceed && (stopped ?? failed)) reject(stopped ?? failed);
        else resolve({ text: Buffer.concat(chunks).toString("utf8") });
      });
    const stop = (why: HandlerFailure, how: NodeJS.Signals): void => {
      stopped ??= why;
      signalGroup(child, how);
    };
    const onAbort = (): void => {
      if (call.wantsAnswer) signalGroup(child, "SIGKILL");
      settle(() => reject(call.signal.reason));
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= maxAnswer) chunks.push(chunk);
      else if (!oversized) {
        oversized = true;
        stop(new HandlerFailure(`it printed more than ${maxAnswer} bytes`), "SIGKILL");
      }
    };
    child.on("error", (error) =>
      settle(() => reject(new HandlerFailure(`it could not be started: ${error.message}`, { cause: error, sort: "connection" }))),
    );
    // A handler that does not read its input closes the pipe: that is its right.
    child.stdin?.on("error", () => undefined).end(call.body);
    child.stdout?.on("error", () => undefined);
    call.signal.addEventListener("abort", onAbort, { once: true });
    if (!call.wantsAnswer) {
      child.stdout?.resume();
      child.on("exit", () => settle(() => resolve({ text: "" })));
      return;
    }
    child.stdout?.on("data", onData);
    const late = new HandlerFailure(`it printed nothing within ${call.limits.termMs} ms and was stopped`, { sort: "timeout" });
    timers.use(call.clock.after(call.limits.termMs, () => stop(late, "SIGTERM")));
    timers.use(call.clock.after(call.limits.killMs, () => stop(late, "SIGKILL")));
    child.on("exit", (code, signal) => {
      if (code !== 0) failed = new HandlerFailure(`it ended with ${signal ?? `exit code ${code}`}`);
      if (stopped) signalGroup(child, "SIGKILL");
      if (!timers.disposed) timers.use(call.clock.after(graceMs, finish));
    });
    child.on("close", finish);
  });
}

function start(call: ExecCall): ChildProcess {
  return spawn(call.path, [call.argument], {
    // Its own group, so that all of it can be ended, and the terminal's Ctrl-C is not its business.
    detached: true,
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, ...call.environment },
  });
}

/** What may go on in the background is read, so that it does not break, but does not keep the server alive. */
function letGo(child: ChildProcess): void {
  child.unref();
  child.stdout?.resume();
  if (child.stdout instanceof Socket) child.stdout.unref();
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group has ended already.
  }
}
