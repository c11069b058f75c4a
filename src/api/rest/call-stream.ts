import type { CallFilter, Journal } from "../../triggers/journal/journal.ts";
import type { CallRecord } from "../../triggers/journal/call-record.ts";
import type { Clock } from "../../base/time.ts";

/** A reader that is slower than the calls loses the oldest of them. */
const mostUnread = 1000;
const heartbeatMs = 15_000;

type Wanted = Pick<CallFilter, "trigger" | "stream" | "decision">;

/** Calls of triggers as they end, as server-sent events: `call`, `lost` with a number, and a comment now and then. */
export function callStream(journal: Pick<Journal, "follow">, clock: Clock, wanted: Wanted): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const unread: CallRecord[] = [];
  const open = new DisposableStack();
  let lost = 0;
  let idle = false;
  let over = false;
  let wake = (): void => {};
  const follow = (record: CallRecord): void => {
    if (wanted.trigger !== undefined && record.trigger !== wanted.trigger) return;
    if (wanted.stream !== undefined && record.stream !== wanted.stream) return;
    if (wanted.decision !== undefined && record.decision?.kind !== wanted.decision) return;
    if (unread.length >= mostUnread) {
      unread.shift();
      lost++;
    }
    unread.push(record);
    wake();
  };
  const nothing = (): boolean => unread.length === 0 && lost === 0 && !idle;
  return new ReadableStream({
    start(controller) {
      open.use(journal.follow(follow));
      open.use(
        clock.every(heartbeatMs, () => {
          idle = true;
          wake();
        }),
      );
      controller.enqueue(encoder.encode(": calls of triggers as they end\n\n"));
    },
    async pull(controller) {
      idle = false;
      while (nothing()) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      if (over) return;
      const record = unread.shift();
      if (record) controller.enqueue(encoder.encode(`event: call\ndata: ${JSON.stringify(record)}\nid: ${record.id}\n\n`));
      else if (lost > 0) {
        controller.enqueue(encoder.encode(`event: lost\ndata: ${lost}\n\n`));
        lost = 0;
      } else controller.enqueue(encoder.encode(": still here\n\n"));
    },
    cancel() {
      open.dispose();
      over = true;
      idle = true;
      wake();
    },
  });
}
