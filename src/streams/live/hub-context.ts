import type { Log } from "../../base/log.ts";
import type { Clock } from "../../base/time.ts";
import type { MakeSilence } from "../../media/silence.ts";
import type { StreamEvent } from "../stream.ts";

/** What the hub's parts share. */
export type HubContext = {
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds that packets are collected before viewers get them; 0: until the present task ends. */
  readonly flushMs: () => number;
  readonly microtask: (run: () => void) => void;
  /** Sound for sources of programmes that have none. */
  readonly silence: MakeSilence;
  readonly emit: (event: StreamEvent) => void;
};
