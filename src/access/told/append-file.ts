import { type FileHandle, open, stat } from "node:fs/promises";
import { messageOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";

/** Bytes that wait while the disk does not take them. */
const mostBytes = 4 * 1024 * 1024;
/** Milliseconds between two tries while it fails. */
const retryMs = 1000;

export type AppendFileOptions = {
  readonly clock: Clock;
  readonly log: Log;
  /** What the file is, for messages: `The access log`. */
  readonly what: string;
};

/**
 * A file that lines are added to, behind the back of whoever writes them: nobody waits, and while the disk does not work a bounded
 * number of lines does. A file that was moved or removed (logrotate) is made anew; what was moved gets nothing any more.
 */
export class AppendFile implements AsyncDisposable {
  readonly #options: AppendFileOptions;
  #handle: FileHandle | undefined;
  /** The path of `#handle`. */
  #opened = "";
  #path = "";
  #waiting: Buffer[] = [];
  #bytes = 0;
  #lost = 0;
  #failing = false;
  #writing: Promise<void> | undefined;
  #retry: Disposable | undefined;

  constructor(options: AppendFileOptions) {
    this.#options = options;
  }

  /** Adds a line, which has no line end yet, to the file at `path`. Never fails; a trouble is told in the log, once. */
  append(path: string, line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.#bytes + bytes.length > mostBytes) {
      this.#lost++;
      return;
    }
    this.#path = path;
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    if (!this.#retry) this.#start();
  }

  /** Resolves when all that waits has been written, or could not be. */
  async drained(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopRetry();
    this.#start();
    await this.drained();
    this.#stopRetry();
    await this.#close();
  }

  #stopRetry(): void {
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
  }

  #start(): void {
    if (this.#writing || this.#waiting.length === 0) return;
    this.#writing = this.#write().then(
      () => this.#works(),
      (error: unknown) => this.#fails(error),
    );
    void this.#writing.then(() => {
      this.#writing = undefined;
      if (!this.#retry) this.#start();
    });
  }

  async #write(): Promise<void> {
    const handle = await this.#current();
    const [first, ...others] = this.#waiting;
    if (!first) return;
    // What comes meanwhile waits for the next round; what was not taken goes first then.
    const bytes = others.length === 0 ? first : Buffer.concat(this.#waiting);
    this.#waiting = [bytes];
    const { bytesWritten } = await handle.write(bytes);
    this.#bytes -= bytesWritten;
    const rest = bytes.subarray(bytesWritten);
    this.#waiting = [...(rest.length > 0 ? [rest] : []), ...this.#waiting.slice(1)];
  }

  /** The file that the path names now. */
  async #current(): Promise<FileHandle> {
    if (this.#handle && (this.#opened !== this.#path || (await this.#moved(this.#handle)))) await this.#close();
    this.#opened = this.#path;
    return (this.#handle ??= await open(this.#path, "a", 0o640));
  }

  async #moved(handle: FileHandle): Promise<boolean> {
    const [own, named] = await Promise.all([handle.stat(), stat(this.#path).catch(() => undefined)]);
    return own.ino !== named?.ino || own.dev !== named.dev;
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }

  #fails(error: unknown): void {
    const { clock, log, what } = this.#options;
    this.#retry = clock.after(retryMs, () => {
      this.#retry = undefined;
      this.#start();
    });
    if (this.#failing) return;
    this.#failing = true;
    log.write(
      "ERROR",
      `${what} cannot be written (${messageOf(error)}); its lines wait, but not more than ${mostBytes / 1024 / 1024} MiB of them`,
    );
  }

  #works(): void {
    if (!this.#failing) return;
    this.#failing = false;
    const { log, what } = this.#options;
    log.write("INFO", `${what} can be written again${this.#lost > 0 ? `; ${this.#lost} lines were lost` : ""}`);
    this.#lost = 0;
  }
}
