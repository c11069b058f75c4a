import type { StreamName } from "../base/stream-name.ts";
import type { KeepRule } from "../base/server-control.ts";
import type { LiveOptions } from "../streams/stream.ts";
import type { SessionSettings } from "../sessions/session.ts";

/** A stream's configuration as MistServer has it, read by base name. Unknown keys are kept and ignored. */
export type StreamSettings = {
  readonly source: string;
  readonly fallback_stream?: string | undefined;
  readonly always_on?: boolean | undefined;
  /** Not in the public list of what plays. */
  readonly hidden?: boolean | undefined;
  readonly tags?: readonly string[] | undefined;
  /** ms of media kept. */
  readonly DVR?: number | undefined;
  /** ms, least length of a segment. */
  readonly segmentsize?: number | undefined;
  readonly resume?: boolean | undefined;
  /** s that an unused input stays open. */
  readonly inputtimeout?: number | undefined;
  /** What its viewers are shown while it is offline, without leaving. */
  readonly fallback?: KeepRule | undefined;
  /** Nobody watches without a JWT that holds, nobody pushes without one or a stream key. */
  readonly requireToken?: boolean | undefined;
};

/** What the gate reads of the configuration, at each decision anew. */
export interface GateSettings {
  stream(base: StreamName): StreamSettings | undefined;
  /** Streams that are to play all the time; left out: none. */
  alwaysOn?(): readonly StreamName[];
  /** The source of names that are not configured; undefined refuses them. */
  readonly defaultSource: string | undefined;
  readonly defaultStream: string;
  /** What holds for streams that do not say it themselves; left out: false. */
  readonly requireToken?: boolean;
  readonly sessions: SessionSettings;
}

/** MistServer's `DVR` and `segmentsize` when a stream does not say. */
const defaultBufferMs = 50_000;
const defaultSegmentMs = 1_900;

/** How a live stream with these settings is kept; `source` is for people and the API. */
export function liveOptionsOf(config: StreamSettings | undefined, source: string): LiveOptions {
  return {
    bufferMs: config?.DVR ?? defaultBufferMs,
    segmentMs: config?.segmentsize ?? defaultSegmentMs,
    resume: config?.resume ?? false,
    source,
  };
}
