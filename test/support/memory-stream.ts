import type { Cursor } from "../../src/base/cursor.ts";
import type { Chunk, Format } from "../../src/media/format.ts";
import type { Packet } from "../../src/media/packet.ts";
import type { Track } from "../../src/media/track.ts";
import type { CloseReason, Stream, StreamWriter } from "../../src/streams/stream.ts";

/**
 * A stream that keeps everything: what the hub is to a protocol, without rings, limits and clocks. A test writes through
 * `writer` and reads `packets`, `tracks` and `reason`, or hands `stream` to players.
 */
export class MemoryStream {
  readonly packets: Packet[] = [];
  readonly trackLists: (readonly Track[])[] = [];
  readonly #end = Promise.withResolvers<CloseReason>();
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  readonly stream: Stream;
  readonly writer: StreamWriter;
  reason: CloseReason | undefined;

  constructor(name: string) {
    this.stream = this.#createStream(name);
    this.writer = {
      stream: this.stream,
      describe: (tracks) => {
        this.trackLists.push(tracks);
        this.#changed();
      },
      write: (packet) => {
        this.packets.push(packet);
        this.#changed();
      },
      close: async (reason) => this.close(reason),
      signal: this.#stop.signal,
      [Symbol.asyncDispose]: async () => this.close({ code: "CLEAN_INTENDED_STOP", text: "disposed" }),
    };
  }

  get tracks(): readonly Track[] {
    return this.trackLists.at(-1) ?? [];
  }

  get closed(): Promise<CloseReason> {
    return this.#end.promise;
  }

  /** Ends the publisher as the server does. */
  withdraw(reason: Error): void {
    this.#stop.abort(reason);
  }

  close(reason: CloseReason): void {
    if (this.reason) return;
    this.reason = reason;
    this.#end.resolve(reason);
    this.#changed();
  }

  /** Resolves as soon as `when` holds; looked at after each change. */
  until(when: (stream: MemoryStream) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!when(this)) return;
        this.#listeners.delete(look);
        resolve();
      };
      this.#listeners.add(look);
      look();
    });
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  #createStream(name: string): Stream {
    const all = (): this => this;
    return {
      name,
      kind: "live",
      source: "push://",
      input: "Buffer",
      get state() {
        return all().reason ? "offline" : all().packets.length > 0 ? "ready" : "waiting";
      },
      get tracks() {
        return all().tracks;
      },
      unixOffset: 0,
      get firstTime() {
        return all().packets[0]?.dts ?? 0;
      },
      get lastTime() {
        return all().packets.at(-1)?.dts ?? 0;
      },
      packets: (start = "live") => this.#cursor(start === "live" ? this.#newestKeyframe() : 0, (packet) => packet),
      chunks: (format, start = "live") => this.#chunks(format, start === "live" ? this.#newestKeyframe() : 0),
      trackStats: () => undefined,
      fragments: async () => ({ fragments: [], ended: this.reason !== undefined }),
      onChange: (run) => {
        this.#listeners.add(run);
        return { [Symbol.dispose]: () => void this.#listeners.delete(run) };
      },
      closed: this.#end.promise,
    };
  }

  #newestKeyframe(): number {
    const video = this.tracks.find((track) => track.kind === "video")?.id;
    const at = this.packets.findLastIndex((packet) => packet.keyframe && (video === undefined || packet.trackId === video));
    return Math.max(at, 0);
  }

  #chunks(format: Format, from: number): Cursor<Chunk> {
    const muxer = format.createMuxer(this.tracks);
    let header: Chunk | undefined = { bytes: muxer.header, keyframe: false, dts: 0 };
    const inner = this.#cursor(from, (packet): Chunk => {
      const bytes = Buffer.concat(muxer.add(packet));
      return { bytes, keyframe: packet.keyframe, dts: packet.dts };
    });
    return {
      next() {
        const first = header;
        header = undefined;
        return first ?? inner.next();
      },
      onReadable: (run) => inner.onReadable(run),
      get ended() {
        return inner.ended;
      },
      skips: 0,
      [Symbol.dispose]: () => inner[Symbol.dispose](),
    };
  }

  #cursor<T>(from: number, map: (packet: Packet) => T): Cursor<T> {
    let at = from;
    const all = (): this => this;
    return {
      next: () => {
        const packet = this.packets[at];
        if (!packet) return undefined;
        at += 1;
        return map(packet);
      },
      onReadable: (run) => {
        const look = (): void => {
          if (at >= this.packets.length && !this.reason) return;
          this.#listeners.delete(look);
          run();
        };
        this.#listeners.add(look);
        queueMicrotask(() => this.#listeners.has(look) && look());
        return { [Symbol.dispose]: () => void this.#listeners.delete(look) };
      },
      get ended() {
        return all().reason !== undefined && at >= all().packets.length;
      },
      skips: 0,
      [Symbol.dispose]: () => {},
    };
  }
}
