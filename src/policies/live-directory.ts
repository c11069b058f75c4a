import { z } from "zod";
import type { ArrangedStream } from "../access/live-arrangement.ts";
import { messageOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { metadataWords, plainMetadata, type StreamMetadata } from "../base/metadata.ts";
import { durationMs } from "../base/time.ts";
import { checkedOptions, duration, streamList } from "./options.ts";
import type { Policy } from "./policy.ts";
import { StreamFacts } from "./stream-facts.ts";
import { namePatterns } from "./stream-patterns.ts";

/** Streams that a failure is remembered of, so that it is told once. */
const mostTold = 1000;

/** A stream as the functions of this policy get it. */
export type DirectoryStream = ArrangedStream;

type Question<T> = (stream: DirectoryStream) => T;
type Metadata = object | undefined | null;
type MetadataOption = Question<Metadata | Promise<Metadata>> | Readonly<Record<string, StreamMetadata>>;

const isFunction = (value: unknown): boolean => typeof value === "function";
const byNameWords = 'a function, or an object with stream names and patterns as keys: { "live+": { "title": "Live" } }';
const metadata = z.unknown().transform((value, context): MetadataOption => {
  if (isFunction(value)) return value as MetadataOption;
  const wrong = (path: string[], message: string): never => {
    context.addIssue({ code: "custom", path, message });
    return z.NEVER;
  };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong([], byNameWords);
  return Object.fromEntries(
    Object.entries(value).map(([pattern, shown]: [string, unknown]) => {
      try {
        return [pattern, plainMetadata(shown)];
      } catch {
        return wrong([pattern], metadataWords);
      }
    }),
  );
});
const orderWords = 'one of "name", "since", "viewers", or a function that compares two streams';

const schema = z.strictObject({
  /** Streams that are listed: names and patterns, `#tag`. Left out: all that play. */
  streams: streamList.optional(),
  /** Streams that are not: a list as above, or a function that says true. Hidden stays what the configuration hides. */
  hidden: z
    .union([streamList, z.custom<Question<boolean>>(isFunction)], "a list of streams, or a function that says true for those to hide")
    .optional(),
  /** What pages show. A function may wait; of several patterns that fit, the later one counts, member by member. */
  metadata: metadata.optional(),
  /** `since`: the newest first; `viewers`: the most first. Left out: by name. */
  order: z
    .union(
      [z.enum(["name", "since", "viewers"]), z.custom<(one: DirectoryStream, other: DirectoryStream) => number>(isFunction)],
      orderWords,
    )
    .optional(),
  /** How long the answer of a `metadata` function is good for. Left out: 5 s. */
  refresh: duration.optional(),
});

export type LiveDirectoryOptions = Omit<z.input<typeof schema>, "metadata"> & { readonly metadata?: MetadataOption };

/** The public list of what plays, `/live.json`, as a site wants it: which streams, in which order, with titles and pictures. */
export function liveDirectory(options: LiveDirectoryOptions = {}): Policy {
  const { streams, hidden, metadata: shown, order = "name", refresh = "5s" } = checkedOptions("liveDirectory", schema, options);
  const isWanted = namePatterns(streams);
  const compare = typeof order === "function" ? order : orders[order];
  return {
    name: "liveDirectory",
    options,
    start({ liveList, clock, log }) {
      const isHidden = hiding(hidden, log);
      const facts =
        typeof shown === "function"
          ? new StreamFacts<DirectoryStream>({
              clock,
              log,
              refreshMs: durationMs(refresh),
              ask: shown,
              changed: () => arranged.changed(),
            })
          : undefined;
      const byName = typeof shown === "object" ? metadataByName(shown) : undefined;
      const arranged = liveList.arrange({
        // What is not wanted is not asked about.
        metadata: (stream) => (isWanted(stream.name, stream.tags) ? (facts?.of(stream) ?? byName?.(stream.name, stream.tags)) : undefined),
        isListed: (stream) => isWanted(stream.name, stream.tags) && !isHidden(stream),
        ...(compare && { compare }),
      });
      return arranged;
    },
  };
}

const orders = {
  name: undefined,
  since: (one: DirectoryStream, other: DirectoryStream) => other.since - one.since,
  viewers: (one: DirectoryStream, other: DirectoryStream) => other.viewers - one.viewers,
} as const;

/** A function that fails hides the stream: its name may be a secret. It is told once for each stream that it fails on. */
function hiding(hidden: readonly string[] | Question<boolean> | undefined, log: Log): Question<boolean> {
  if (hidden === undefined) return () => false;
  if (typeof hidden !== "function") {
    const fits = namePatterns(hidden);
    return ({ name, tags }) => hidden.length > 0 && fits(name, tags);
  }
  const told = new Set<string>();
  return (stream) => {
    try {
      const answer: unknown = hidden(stream);
      if (typeof answer === "boolean") return answer;
      throw new TypeError("it must answer true or false at once");
    } catch (error) {
      const words = `liveDirectory.hidden failed, the stream is not listed: ${messageOf(error)}`;
      if (told.size >= mostTold) told.clear();
      if (!told.has(stream.name)) log.write("ERROR", words, { stream: stream.name });
      told.add(stream.name);
      return true;
    }
  };
}

function metadataByName(
  given: Readonly<Record<string, StreamMetadata>>,
): (name: string, tags: readonly string[]) => StreamMetadata | undefined {
  const entries = Object.entries(given).map(([pattern, value]) => ({ fits: namePatterns([pattern]), value }));
  return (name, tags) => {
    const parts = entries.filter(({ fits }) => fits(name, tags)).map(({ value }) => value);
    return parts.length > 0 ? (Object.assign({}, ...parts) as StreamMetadata) : undefined;
  };
}
