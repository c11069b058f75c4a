import type { Cursor } from "../../src/base/cursor.ts";
import type { MakeSilence } from "../../src/media/silence.ts";
import { createDirectory } from "../../src/streams/directory.ts";
import type { LiveOptions, StreamDirectory, StreamEvent, StreamWriter } from "../../src/streams/stream.ts";
import { FakeClock } from "./fake-clock.ts";
import { tinyPacket } from "./tiny-format.ts";

/** A directory with a clock that stands still, and all that it told. */
export type TestHub = {
  readonly clock: FakeClock;
  readonly directory: StreamDirectory;
  readonly events: readonly StreamEvent[];
  readonly lines: readonly string[];
  /** The events as short words: `buffer FULL`, `state ready`, `tracks 2`. */
  words(): string[];
};

export const liveOptions: LiveOptions = { bufferMs: 50_000, segmentMs: 1_900, resume: false, source: "push://" };

/** Makes a hub that flushes every `flushMs`. */
export function createTestHub(flushMs = 100, silence: MakeSilence = () => undefined): TestHub {
  const clock = new FakeClock();
  const lines: string[] = [];
  const log = { write: (kind: string, message: string) => void lines.push(`${kind} ${message}`) };
  const directory = createDirectory({ clock, log, flushMs: () => flushMs, silence });
  const events: StreamEvent[] = [];
  const words: string[] = [];
  directory.onEvent((event) => {
    events.push(event);
    if (event.kind !== "bandwidth") words.push(word(event));
  });
  return { clock, directory, events, lines, words: () => words.splice(0) };
}

function word(event: StreamEvent): string {
  switch (event.kind) {
    case "state":
    case "buffer":
      return `${event.kind} ${event.state}`;
    case "tracks":
      return `tracks ${event.stream.tracks.length}`;
    case "closed":
      return `closed ${event.reason.code}`;
    case "bandwidth":
      return `bandwidth ${event.bytesPerSecond}`;
    case "opened":
      return "opened";
  }
}

/** What an encoder sends in real time: 25 frames with a keyframe every `gopMs`, and sound every 20 ms. */
export async function send(hub: TestHub, writer: StreamWriter, fromMs: number, toMs: number, gopMs = 2_000): Promise<void> {
  for (let ms = fromMs; ms < toMs; ms += 20) {
    writer.write(tinyPacket(2, ms, true));
    if (ms % 40 === 0) writer.write(tinyPacket(1, ms, ms % gopMs === 0));
    await hub.clock.advance(20);
  }
}

/** Reads a cursor to its edge. */
export function drain<T>(cursor: Cursor<T>): T[] {
  const items: T[] = [];
  for (let item = cursor.next(); item !== undefined; item = cursor.next()) items.push(item);
  return items;
}

/** Follows a cursor as an output does, and collects what it gives. */
export function follow<T>(cursor: Cursor<T>): { readonly items: T[]; readonly wakes: number } {
  const items: T[] = [];
  const seen = { items, wakes: 0 };
  const run = (): void => {
    seen.wakes++;
    items.push(...drain(cursor));
    if (!cursor.ended) cursor.onReadable(run);
  };
  run();
  return seen;
}
