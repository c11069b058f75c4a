import { isClean } from "../../base/exit.ts";
import type { Log } from "../../base/log.ts";
import type { StreamName } from "../../base/stream-name.ts";
import { tracksJson } from "../../media/track-json.ts";
import type { SessionEnd, Sessions, StreamCounters } from "../../sessions/session.ts";
import type { CloseReason, Stream, StreamDirectory, StreamEvent } from "../../streams/stream.ts";
import type { Payload, TriggerName } from "../../triggers/table.ts";
import type { Triggers } from "../../triggers/trigger.ts";
import { inputAbort } from "./input-abort.ts";
import type { SessionEnds } from "./session-ends.ts";
import { userEnd } from "./user-end.ts";

export type StreamTriggersOptions = {
  readonly log: Log;
  readonly directory: StreamDirectory;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
  readonly ends: SessionEnds;
};

/** Counters that STREAM_END tells. */
type Totals = Pick<StreamCounters, "down" | "up" | "views" | "totalInputs" | "totalOutputs" | "viewSeconds">;

/** What a handler says when it says nothing more than no. */
const bareReason = "not allowed";
/** How a publisher's stream ends that nobody continues. */
const left: ReadonlySet<CloseReason["code"]> = new Set(["CLEAN_REMOTE_CLOSE", "CLEAN_INTENDED_STOP", "UNKNOWN"]);
const leftText = "source disconnected for non-resumable stream";

/**
 * Makes triggers of what happens to streams and sessions: LIVE_TRACK_LIST, STREAM_BUFFER, STREAM_UNLOAD, STREAM_END, USER_END.
 * Handlers are told and not waited for; `drained` waits for all.
 */
export class StreamTriggers implements Disposable {
  readonly #options: StreamTriggersOptions;
  readonly #listeners: readonly Disposable[];
  /** Counters of sessions that have ended while their stream went on. */
  readonly #held = new Map<StreamName, Totals>();
  readonly #running = new Set<Promise<unknown>>();
  /** Streams whose LIVE_BANDWIDTH is being answered. */
  readonly #measured = new Set<StreamName>();

  constructor(options: StreamTriggersOptions) {
    this.#options = options;
    const { directory, sessions } = options;
    this.#listeners = [
      directory.onEvent((event) => this.#onStream(event)),
      sessions.onEnd((end) => this.#onEnd(end)),
      sessions.onStreamIdle((stream, counters) => this.#onIdle(stream, counters)),
    ];
  }

  /** Resolves when everything that was fired has been handled. */
  async drained(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener[Symbol.dispose]();
  }

  #fire<K extends TriggerName>(name: K, stream: StreamName, payload: () => Payload<K>): Promise<unknown> | undefined {
    const { triggers } = this.#options;
    if (!triggers.wants(name, stream)) return undefined;
    const fired = triggers.fire(name, payload());
    this.#running.add(fired);
    void fired.finally(() => this.#running.delete(fired));
    return fired;
  }

  #onStream(event: StreamEvent): void {
    const { stream } = event;
    const { name } = stream;
    if (event.kind === "closed") return this.#onClosed(stream, event.reason);
    if (stream.kind !== "live") return;
    if (event.kind === "tracks")
      this.#fire("LIVE_TRACK_LIST", name, () => ({ stream: name, tracks: tracksJson(stream.tracks, (id) => stream.trackStats(id)) }));
    if (event.kind === "bandwidth") void this.#bandwidth(stream, event.bytesPerSecond);
    if (event.kind === "buffer")
      this.#fire("STREAM_BUFFER", name, () => ({
        stream: name,
        state: event.state,
        ...(event.health !== undefined && { health: event.health }),
      }));
  }

  /** LIVE_BANDWIDTH: a no ends the stream. While an answer is awaited nothing more is asked about the stream. */
  async #bandwidth(stream: Stream, bytesPerSecond: number): Promise<void> {
    const { triggers, directory, log } = this.#options;
    const { name } = stream;
    if (this.#measured.has(name) || !triggers.wants("LIVE_BANDWIDTH", name)) return;
    this.#measured.add(name);
    const asking = triggers.fire("LIVE_BANDWIDTH", { stream: name, bytesPerSecond });
    this.#running.add(asking);
    try {
      const verdict = await asking;
      if (verdict.kind !== "deny" || directory.get(name) !== stream) return;
      const words = verdict.reason === bareReason ? "" : ` (${verdict.reason})`;
      log.write("WARN", `LIVE_BANDWIDTH said no at ${bytesPerSecond} bytes per second; the stream is ended${words}`, { stream: name });
      await directory.end(name, { code: "TRIGGER", text: `LIVE_BANDWIDTH trigger returned false${words}` });
    } finally {
      this.#running.delete(asking);
      this.#measured.delete(name);
    }
  }

  #onClosed(stream: Stream, reason: CloseReason): void {
    const { name, source, input } = stream;
    if (stream.kind === "live" || !isClean(reason))
      this.#fire("STREAM_UNLOAD", name, () => ({ stream: name, input, reason: unloadReason(reason) }));
    if (aborts(stream, reason)) this.#fire("INPUT_ABORT", name, () => inputAbort(name, source, input, reason));
    if (!this.#options.sessions.counters(name)) this.#streamEnd(name);
  }

  /** The stream's last session has ended; if it still plays, the rest of the story is to come. */
  #onIdle(stream: StreamName, counters: StreamCounters): void {
    this.#held.set(stream, sum(this.#held.get(stream), counters));
    if (!this.#options.directory.get(stream)) this.#streamEnd(stream);
  }

  #streamEnd(stream: StreamName): void {
    const totals = this.#held.get(stream);
    if (!totals) return;
    this.#held.delete(stream);
    const { down, up, views, totalInputs, totalOutputs, viewSeconds } = totals;
    this.#fire("STREAM_END", stream, () => {
      return { stream, down, up, viewers: views, inputs: totalInputs, outputs: totalOutputs, viewerSeconds: viewSeconds };
    });
  }

  #onEnd(end: SessionEnd): void {
    if (end.type !== "viewer") return;
    void this.#options.ends.told(
      end.id,
      this.#fire("USER_END", end.streams[0]?.[0] ?? end.stream, () => userEnd(end)),
    );
  }
}

/** True when the input did not end in order. What a publisher did wrong is no failure of the buffer that reads it. */
function aborts({ kind }: Stream, reason: CloseReason): boolean {
  return kind === "vod" ? !isClean(reason) : reason.code === "TRIGGER";
}

/** MistServer's third line of STREAM_UNLOAD: a word and the reason, without anything between them. */
function unloadReason(reason: CloseReason): string {
  if (reason.code === "TRIGGER") return `cancelable${reason.text}`;
  return `uncancelable${left.has(reason.code) ? leftText : reason.text}`;
}

function sum(before: Totals | undefined, counters: Totals): Totals {
  return {
    down: (before?.down ?? 0) + counters.down,
    up: (before?.up ?? 0) + counters.up,
    views: (before?.views ?? 0) + counters.views,
    totalInputs: (before?.totalInputs ?? 0) + counters.totalInputs,
    totalOutputs: (before?.totalOutputs ?? 0) + counters.totalOutputs,
    viewSeconds: (before?.viewSeconds ?? 0) + counters.viewSeconds,
  };
}
