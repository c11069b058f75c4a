import { describe, expect, it } from "vitest";
import type { Cursor } from "./cursor.ts";
import { pump } from "./pump.ts";
import type { Sink } from "./sink.ts";
import type { Clock } from "./time.ts";

type Item = { readonly bytes: Uint8Array };

/** A cursor, a sink and a clock that the test moves by hand. */
function scene() {
  const items: Item[] = [];
  const written: number[] = [];
  const gone = new AbortController();
  const state = { ended: false, skips: 0, congested: false, disposed: false };
  let readable: (() => void) | undefined;
  let drained: (() => void) | undefined;
  let timer: (() => void) | undefined;
  const once = (set: (run: (() => void) | undefined) => void, run: () => void): Disposable => {
    set(run);
    return { [Symbol.dispose]: () => set(undefined) };
  };
  const cursor: Cursor<Item> = {
    next: () => items.shift(),
    onReadable: (run) => once((value) => (readable = value), run),
    get ended() {
      return state.ended;
    },
    get skips() {
      return state.skips;
    },
    [Symbol.dispose]: () => void (state.disposed = true),
  };
  const sink: Sink = {
    write: (bytes) => void written.push(bytes.length),
    get congested() {
      return state.congested;
    },
    onDrained: (run) => once((value) => (drained = value), run),
    end: () => gone.abort(),
    signal: gone.signal,
  };
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after: (_ms, run) => once((value) => (timer = value), run),
    every: () => ({ [Symbol.dispose]: () => {} }),
  };
  return {
    items,
    written,
    state,
    cursor,
    sink,
    clock,
    gone,
    readable: () => readable?.(),
    drained: () => drained?.(),
    time: () => timer?.(),
    waitsForTime: () => timer !== undefined,
  };
}

const bytes = (length: number): Item => ({ bytes: new Uint8Array(length) });

describe("pump", () => {
  it("writes what is there, waits, goes on, and ends with the stream", async () => {
    const s = scene();
    let counted = 0;
    s.items.push(bytes(1), bytes(2));
    const end = pump(s.cursor, s.sink, { signal: new AbortController().signal, count: (n) => (counted += n), clock: s.clock });
    expect(s.written).toEqual([1, 2]);
    s.items.push(bytes(3));
    s.readable();
    expect([s.written, counted]).toEqual([[1, 2, 3], 6]);
    s.state.ended = true;
    s.readable();
    expect(await end).toBe("stream-ended");
    expect(s.state.disposed).toBe(true);
  });
  it("reads nothing while the peer is congested and ends a peer that never drains", async () => {
    const s = scene();
    s.state.congested = true;
    s.items.push(bytes(1));
    const end = pump(s.cursor, s.sink, { signal: new AbortController().signal, count: () => {}, clock: s.clock });
    expect(s.written).toEqual([]);
    s.time();
    expect(await end).toBe("too-slow");
  });
  it("goes on after the congestion and forgets the time limit", () => {
    const s = scene();
    s.state.congested = true;
    s.items.push(bytes(1));
    void pump(s.cursor, s.sink, { signal: new AbortController().signal, count: () => {}, clock: s.clock });
    s.state.congested = false;
    s.drained();
    expect([s.written, s.waitsForTime()]).toEqual([[1], false]);
  });
  it("ends who keeps falling off the ring", async () => {
    const s = scene();
    s.state.skips = 3;
    const end = pump(s.cursor, s.sink, { signal: new AbortController().signal, count: () => {}, clock: s.clock, maxSkips: 2 });
    expect(await end).toBe("too-slow");
  });
  it("stops at once when the viewer is withdrawn or has gone", async () => {
    const s = scene();
    const withdrawn = new AbortController();
    const end = pump(s.cursor, s.sink, { signal: withdrawn.signal, count: () => {}, clock: s.clock });
    withdrawn.abort();
    expect(await end).toBe("withdrawn");
    const t = scene();
    const other = pump(t.cursor, t.sink, { signal: new AbortController().signal, count: () => {}, clock: t.clock });
    t.gone.abort();
    expect(await other).toBe("peer-gone");
  });
});
