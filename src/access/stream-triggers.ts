import type { Log } from "../base/log.ts";
import type { StreamName } from "../base/stream-name.ts";
import { tracksJson } from "../media/track-json.ts";
import type { SessionEnd, Sessions, StreamCounters } from "../sessions/session.ts";
import type { CloseReason, Stream, StreamDirectory, StreamEvent } from "../streams/stream.ts";
import type { Payload, TriggerName } from "../triggers/table.ts";
import type { Triggers } from "../triggers/trigger.ts";

export type StreamTriggersOptions = {
  readonly log: Log;
  readonly directory: StreamDirectory;
  readonly sessions: Sessions;
  readonly triggers: Triggers;
};

/** Counters that STREAM_END tells. */
type Totals = Pick<StreamCounters, "down" | "up" | "views" | "totalInputs" | "totalOutputs" | "viewSeconds">;

/** How a publisher's stream ends that nobody continues. */
const left: ReadonlySet<CloseReason["code"]> = new Set(["CLEAN_REMOTE_CLOSE", "CLEAN_INTENDED_STOP", "UNKNOWN"]);
const leftText = "source disconnected for non-resumable stream";

/**
 * Makes triggers of what happens to streams and sessions: LIVE_TRACK_LIST, STREAM_BUFFER, STREAM_UNLOAD, STREAM_END, USER_END,
 * and the lines of the access log. Handlers are told and not waited for; `drained` waits for all.
 */
export class StreamTriggers implements Disposable {
  readonly #options: StreamTriggersOptions;
  readonly #listeners: readonly Disposable[];
  /** Counters of sessions that have ended while their stream went on. */
  readonly #held = new Map<StreamName, Totals>();
  readonly #running = new Set<Promise<unknown>>();

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

  #fire<K extends TriggerName>(name: K, stream: StreamName, payload: () => Payload<K>): void {
    const { triggers } = this.#options;
    if (!triggers.wants(name, stream)) return;
    const fired = triggers.fire(name, payload());
    this.#running.add(fired);
    void fired.finally(() => this.#running.delete(fired));
  }

  #onStream(event: StreamEvent): void {
    const { stream } = event;
    const { name } = stream;
    if (event.kind === "closed") return this.#onClosed(stream, event.reason);
    if (stream.kind !== "live") return;
    if (event.kind === "tracks")
      this.#fire("LIVE_TRACK_LIST", name, () => ({ stream: name, tracks: tracksJson(stream.tracks, (id) => stream.trackStats(id)) }));
    if (event.kind === "buffer")
      this.#fire("STREAM_BUFFER", name, () => ({ stream: name, state: event.state, ...(event.health && { health: event.health }) }));
  }

  #onClosed(stream: Stream, reason: CloseReason): void {
    const { name } = stream;
    if (stream.kind === "live") this.#fire("STREAM_UNLOAD", name, () => ({ stream: name, input: "Buffer", reason: unloadReason(reason) }));
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
    const names = (list: SessionEnd["streams"]): string => list.map(([name]) => name).join(",");
    const seconds = (list: SessionEnd["streams"]): string => list.map(([, count]) => count).join(",");
    const tags = end.tags.map((tag) => `[${tag}]`).join("");
    const streams = names(end.streams);
    this.#fire("USER_END", end.streams[0]?.[0] ?? end.stream, () => ({
      token: end.token,
      streams,
      protocols: names(end.protocols),
      hosts: names(end.hosts),
      seconds: end.seconds,
      up: end.up,
      down: end.down,
      tags,
      hostSeconds: seconds(end.hosts),
      protocolSeconds: seconds(end.protocols),
      streamSeconds: seconds(end.streams),
      sessionId: end.id,
    }));
    const rate = (bytes: number): number => Math.round(bytes / 1024 / Math.max(end.seconds, 1));
    this.#options.log.write(
      "ACCS",
      `Session ${end.id} ${streams} (${names(end.protocols)}) from ${names(end.hosts)} ended after ${end.seconds}s, avg ${rate(end.up)} KB/s up ${rate(end.down)} KB/s down. Tags: ${tags}`,
      { stream: end.stream },
    );
  }
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
