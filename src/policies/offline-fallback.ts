import { z } from "zod";
import type { KeepRule } from "../base/server-control.ts";
import { checkedOptions, duration, streamList } from "./options.ts";
import type { Policy } from "./policy.ts";

const sourceWords = 'a list of streams and recordings, such as ["slate", "/recordings/$stream-*.mp4"], or a function that gives one';

const schema = z.strictObject({
  /** Streams whose viewers are kept. Left out: all. */
  streams: streamList.optional(),
  /** What they are shown, in order of preference. */
  sources: z.custom<KeepRule["sources"]>(
    (value) =>
      typeof value === "function" ||
      (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string" && one !== "")),
    sourceWords,
  ),
  minOutage: duration.optional(),
  minStable: duration.optional(),
  switch: z.enum(["seamless", "offer"], '"seamless" or "offer"').optional(),
});

export type OfflineFallbackOptions = z.input<typeof schema>;

/**
 * Who watches a stream that goes offline is shown something else on the same connection or playlist, and taken back when it is live
 * again; who opens it while it is offline gets that, too.
 */
export function offlineFallback(options: OfflineFallbackOptions): Policy {
  const { streams = [], sources, minOutage, minStable, switch: how } = checkedOptions("offlineFallback", schema, options);
  return {
    name: "offlineFallback",
    options,
    start: ({ server }) =>
      server.keepViewers(streams, {
        sources,
        ...(minOutage !== undefined && { minOutage }),
        ...(minStable !== undefined && { minStable }),
        ...(how !== undefined && { switch: how }),
      }),
  };
}
