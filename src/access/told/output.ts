import { type ExitReason, peerGone } from "../../base/exit.ts";
import type { StreamName } from "../../base/stream-name.ts";
import type { Clock } from "../../base/time.ts";
import type { Payload } from "../../triggers/table.ts";
import type { Triggers } from "../../triggers/trigger.ts";
import type { OpenConnection } from "../connections.ts";

/** MistServer's word for "no media was sent": 64 bits of ones. */
const noTime = 2 ** 64;

export type OutputOptions = {
  readonly clock: Clock;
  readonly triggers: Triggers;
  readonly connection: OpenConnection;
  readonly stream: StreamName;
  readonly host: string;
  readonly protocol: string;
  /** False for one request of many (a playlist, a segment): its end is nothing to tell. */
  readonly lasting: boolean;
};

/**
 * What one admission has sent, and its end: CONN_STOP when the end of the media was reached, OUTPUT_END for what lasts.
 * Counting is plain additions: it stands in the packet path.
 */
export class Output {
  readonly #options: OutputOptions;
  readonly #startedAt: number;
  #bytes = 0;
  #first = -1;
  #last = 0;
  #reason: ExitReason | undefined;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.#startedAt = options.clock.now();
  }

  sent(bytes: number): void {
    this.#bytes += bytes;
  }

  position(ms: number): void {
    if (this.#first < 0) this.#first = ms;
    this.#last = ms;
  }

  /** The first reason counts. The end of the media is told at once. */
  ends(reason: ExitReason, bytes = 0): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#bytes = Math.max(this.#bytes, bytes);
    if (reason.code !== "CLEAN_EOF") return;
    const { connection, triggers, stream, host, protocol } = this.#options;
    if (triggers.wants("CONN_STOP", stream)) connection.tell(() => triggers.fire("CONN_STOP", { stream, host, protocol }));
  }

  /** Why it has ended; while it goes on, what it is when nobody says more. */
  get reason(): ExitReason {
    return this.#reason ?? peerGone;
  }

  /** The admission is over. As in MistServer, OUTPUT_END comes after the connection's CONN_CLOSE. */
  close(): void {
    const { connection, triggers, stream, lasting, clock } = this.#options;
    if (this.#closed || !lasting) return;
    this.#closed = true;
    if (!triggers.wants("OUTPUT_END", stream)) return;
    const endedAt = clock.now();
    connection.tellAfterwards(() => triggers.fire("OUTPUT_END", this.#endPayload(endedAt)));
  }

  #endPayload(endedAt: number): Payload<"OUTPUT_END"> {
    const { stream, protocol } = this.#options;
    const { code, text } = this.reason;
    const sent = this.#first >= 0;
    const [first, last] = [Math.round(this.#first), Math.round(this.#last)];
    return {
      stream,
      target: "",
      protocol,
      bytes: this.#bytes,
      seconds: Math.floor((endedAt - this.#startedAt) / 1000),
      start: Math.floor(this.#startedAt / 1000),
      end: Math.floor(endedAt / 1000),
      mediaMs: sent ? last - first : 0,
      firstMs: sent ? first : noTime,
      lastMs: last,
      code,
      reason: text,
    };
  }
}
