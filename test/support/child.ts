import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";

/** A program under test with what it printed; ended by its process id when disposed. */
export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves with the exit code (or the signal's name) when it has ended. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** Resolves as soon as `pattern` was printed on either stream; rejects when the program ends or `timeoutMs` passes first. */
  printed(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Starts a program. The last 1 MiB of each of its streams is kept. */
export function startChild(command: string, args: readonly string[], options: SpawnOptions = {}): Child {
  const process = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const text = { stdout: "", stderr: "" };
  const listeners = new Set<() => void>();
  const keep = (stream: "stdout" | "stderr") => (chunk: Buffer) => {
    text[stream] = (text[stream] + chunk.toString()).slice(-1_048_576);
    for (const listener of listeners) listener();
  };
  process.stdout?.on("data", keep("stdout"));
  process.stderr?.on("data", keep("stderr"));
  const exited = new Promise<number | NodeJS.Signals>((resolve, reject) => {
    process.once("error", reject);
    process.once("close", (code, signal) => resolve(code ?? signal ?? -1));
  });
  exited.catch(() => {});
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<number | NodeJS.Signals> => {
    if (process.exitCode === null && process.signalCode === null) process.kill(signal);
    const force = setTimeout(() => process.kill("SIGKILL"), 10_000);
    try {
      return await exited;
    } finally {
      clearTimeout(force);
    }
  };
  return {
    process,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    exited,
    printed: (pattern, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const settle = (finish: () => void): void => {
          listeners.delete(look);
          clearTimeout(timer);
          finish();
        };
        const look = (): void => {
          const match = pattern.exec(text.stdout) ?? pattern.exec(text.stderr);
          if (match) settle(() => resolve(match));
        };
        const timer = setTimeout(
          () =>
            settle(() => reject(new Error(`${command} did not print ${pattern} within ${timeoutMs} ms:\n${text.stdout}\n${text.stderr}`))),
          timeoutMs,
        );
        listeners.add(look);
        exited.then(
          (code) =>
            settle(() => reject(new Error(`${command} ended with ${code} before it printed ${pattern}:\n${text.stdout}\n${text.stderr}`))),
          (error) => settle(() => reject(error)),
        );
        look();
      }),
    stop,
    [Symbol.asyncDispose]: async () => void (await stop().catch(() => {})),
  };
}
