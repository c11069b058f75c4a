import type { Cursor } from "./cursor.ts";
import type { Sink } from "./sink.ts";
import type { Clock, Micros } from "./time.ts";

/** Why a pump stopped. */
export type PumpEnd = "stream-ended" | "peer-gone" | "withdrawn" | "too-slow";

export type PumpOptions = {
  /** Aborted when the viewer may not go on. */
  readonly signal: AbortSignal;
  /** Gets the number of bytes of each write. */
  readonly count: (bytes: number) => void;
  /** Gets the media time of each write but the first, which is the format's header, ms. */
  readonly position?: (ms: number) => void;
  readonly clock: Clock;
  /** Times that the viewer may fall off the ring before it is ended. */
  readonly maxSkips?: number;
  /** Milliseconds without any progress of a congested peer after which it is ended. */
  readonly stallMs?: number;
};

/**
 * The loop of every byte-stream output, and the whole policy on slow viewers: while the peer is congested nothing is
 * read, the ring moves on, and the cursor finds itself at a newer keyframe; who keeps falling behind is ended.
 * No promise and no queue for each write. The caller ends the sink.
 */
export function pump(
  cursor: Cursor<{ readonly bytes: Uint8Array; readonly dts?: Micros }>,
  sink: Sink,
  options: PumpOptions,
): Promise<PumpEnd> {
  const { signal, count, position, clock, maxSkips = 20, stallMs = 20_000 } = options;
  return new Promise((resolve) => {
    let waiting: Disposable | undefined;
    let stalled: Disposable | undefined;
    let begun = false;
    const finish = (end: PumpEnd): void => {
      waiting?.[Symbol.dispose]();
      stalled?.[Symbol.dispose]();
      signal.removeEventListener("abort", onWithdrawn);
      sink.signal.removeEventListener("abort", onGone);
      cursor[Symbol.dispose]();
      resolve(end);
    };
    const onWithdrawn = (): void => finish("withdrawn");
    const onGone = (): void => finish("peer-gone");
    const run = (): void => {
      stalled?.[Symbol.dispose]();
      stalled = undefined;
      for (;;) {
        if (sink.signal.aborted) return finish("peer-gone");
        if (sink.congested) {
          stalled = clock.after(stallMs, () => finish("too-slow"));
          waiting = sink.onDrained(run);
          return;
        }
        const item = cursor.next();
        if (cursor.skips > maxSkips) return finish("too-slow");
        if (item) {
          sink.write(item.bytes);
          count(item.bytes.length);
          if (begun && item.dts !== undefined) position?.(item.dts / 1000);
          begun = true;
        } else if (cursor.ended) {
          return finish("stream-ended");
        } else {
          waiting = cursor.onReadable(run);
          return;
        }
      }
    };
    if (signal.aborted) return finish("withdrawn");
    signal.addEventListener("abort", onWithdrawn, { once: true });
    sink.signal.addEventListener("abort", onGone, { once: true });
    run();
  });
}
