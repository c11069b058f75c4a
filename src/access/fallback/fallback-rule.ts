import type { StreamName } from "../../base/stream-name.ts";

/** What viewers get while a stream is offline, and how they get there and back. */
export type FallbackRule = {
  /**
   * In order of preference: names of streams, and recordings by path (`/rec/$stream-*.mp4` is the newest of those; variables as in
   * `source`). The first that can be shown is. Asked at each outage.
   */
  readonly sources: readonly string[] | ((stream: StreamName) => readonly string[] | Promise<readonly string[]>);
  /** Milliseconds that a publisher may be away before its viewers are shown something else. */
  readonly minOutageMs: number;
  /** Milliseconds that a publisher must have been back before viewers are taken to it. */
  readonly minStableMs: number;
  /** `seamless`: viewers are taken there and back. `offer`: they stay on what they see, and are told that the stream is live again. */
  readonly switch: "seamless" | "offer";
};

/** What is known of a stream whose viewers are kept, for stream information and events. */
export type FallbackState = {
  readonly stream: StreamName;
  /** What is shown: `live`, the name of another stream, `recording` for a file, or `nothing` while there is none. */
  readonly shows: string;
  /** Unix milliseconds since when the publisher has been away; undefined while it is there. */
  readonly offlineSince: number | undefined;
  /** The stream is live again, but its viewers are shown something else still: with `switch: "offer"`, or until it has been stable. */
  readonly liveAgain: boolean;
  readonly switch: FallbackRule["switch"];
};
