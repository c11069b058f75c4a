import type { EventFeed, Wanted } from "./feed.ts";

/** Events that are looked at, and bytes that are made, at once. */
const mostEvents = 256;
const mostBytes = 64 * 1024;
/** Milliseconds between two signs of life. */
const heartbeatMs = 15_000;

const encoder = new TextEncoder();
const tooSlow = ": too slow: what comes next is not kept any more; come back with Last-Event-ID\n\n";

/**
 * The events from `position` on as an endless answer; without one, the snapshot and what follows it. The reader holds a
 * place in the feed and no queue: bytes are made when it takes some. Who has fallen behind what is kept is told so, and the
 * answer ends. `signal` ends it, too; `over` is called once when it has ended, whoever ended it.
 */
export function eventStream(
  feed: EventFeed,
  wanted: Wanted,
  position: number | undefined,
  { signal, over = () => {} }: { readonly signal?: AbortSignal; readonly over?: () => void } = {},
): ReadableStream<Uint8Array> {
  let place = position ?? feed.last;
  let pieces = position === undefined ? feed.snapshot(wanted, place) : undefined;
  let wake = (): void => {};
  const life = { over: false };
  const following = feed.follow(() => wake());
  const finish = (): void => {
    if (life.over) return;
    life.over = true;
    following[Symbol.dispose]();
    signal?.removeEventListener("abort", finish);
    wake();
    over();
  };
  signal?.addEventListener("abort", finish);
  if (signal?.aborted) finish();

  /** The next bytes, if there are any. Undefined: the reader has to wait. */
  const next = (): string | undefined => {
    const piece = pieces?.next();
    if (piece && !piece.done) return piece.value;
    pieces = undefined;
    let text = "";
    while (text.length < mostBytes) {
      const { events, upTo, lost } = feed.after(place, wanted, mostEvents);
      if (lost) {
        finish();
        return text + tooSlow;
      }
      for (const event of events) text += feed.textOf(event);
      if (upTo === place) break;
      place = upTo;
    }
    return text === "" ? undefined : text;
  };

  const news = (): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = feed.clock.after(heartbeatMs, () => resolve(false));
    wake = () => resolve(true);
    return promise.finally(() => timer[Symbol.dispose]());
  };

  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let text = life.over ? undefined : next();
        while (text === undefined && !life.over) {
          const told = await news();
          if (!life.over) text = next() ?? (told ? undefined : `: alive\nid: ${feed.idOf(place)}\n\n`);
        }
        if (text !== undefined) controller.enqueue(encoder.encode(text));
        if (life.over) controller.close();
      },
      cancel: finish,
    },
    { highWaterMark: 0 },
  );
}
