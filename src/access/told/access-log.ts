import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { SessionEnd, Sessions } from "../../sessions/session.ts";
import { AppendFile } from "./append-file.ts";
import { tagText, useNames } from "./user-end.ts";

export type AccessLogOptions = {
  readonly clock: Clock;
  readonly log: Log;
  readonly sessions: Pick<Sessions, "onEnd">;
  /** Read at each line: "" none, "LOG" a line in the log, else the path of a file. */
  readonly setting: () => string;
};

/** A line for each viewer's session that has ended, in MistServer's two forms. */
export class AccessLog implements AsyncDisposable {
  readonly #options: AccessLogOptions;
  readonly #file: AppendFile;
  readonly #listener: Disposable;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    this.#file = new AppendFile({ clock: options.clock, log: options.log, what: "The access log" });
    this.#listener = options.sessions.onEnd((end) => this.#onEnd(end));
  }

  /** Resolves when all lines are in the file. */
  drained(): Promise<void> {
    return this.#file.drained();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener[Symbol.dispose]();
    await this.#file[Symbol.asyncDispose]();
  }

  #onEnd(end: SessionEnd): void {
    const { clock, log, setting } = this.#options;
    const where = setting();
    if (where === "" || end.type !== "viewer") return;
    if (where === "LOG") log.write("ACCS", logLine(end), { stream: end.stream });
    else this.#file.append(where, fileLine(end, clock.now()));
  }
}

/** The form of the log. */
export function logLine(end: SessionEnd): string {
  const { id, seconds, tags } = end;
  const of = `${useNames(end.streams)} (${useNames(end.protocols)}) from ${useNames(end.hosts)}`;
  const average = `avg ${rate(end.up, seconds)}KB/s up ${rate(end.down, seconds)}KB/s down.`;
  return `Session <${id}> ${of} ended after ${seconds}s, ${average}${tags.length > 0 ? ` Tags: ${tagText(tags)}` : ""}`;
}

/** The form of a file; `unix`: milliseconds, shown in the machine's time zone. */
export function fileLine(end: SessionEnd, unix: number): string {
  const { id, seconds } = end;
  const names = [end.streams, end.protocols, end.hosts].map(useNames);
  const line = [timeText(new Date(unix)), id, ...names, seconds, rate(end.up, seconds), rate(end.down, seconds), tagText(end.tags)].join(
    ", ",
  );
  // oxlint-disable-next-line no-control-regex -- what clients and handlers send may begin no line of its own
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
}

/** Whole KiB per second. */
function rate(bytes: number, seconds: number): number {
  return Math.floor(bytes / Math.max(seconds, 1) / 1024);
}

function timeText(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":")}`;
}
