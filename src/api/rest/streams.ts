import { z } from "zod";
import type { FallbackState } from "../../access/fallback/fallback-rule.ts";
import { SluiceError } from "../../base/errors.ts";
import { baseName, streamName } from "../../base/stream-name.ts";
import { parseLooseStream } from "../../config/schema.ts";
import type { StreamEntry } from "../../config/settings.ts";
import type { Track } from "../../media/track.ts";
import { streamStates } from "../../streams/stream.ts";
import type { ApiParts } from "../parts.ts";
import { addStreams, removeStreams } from "../stream-changes.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { maskedEntry, maskedSource, unmaskedEntry } from "./masked-source.ts";
import { type Route, route } from "./route.ts";

const tag = "streams";
const byName = z.strictObject({
  name: z.string().min(1, "the name of a stream").meta({ description: "`live`, or with a wildcard `live+one`." }),
});
const tagText = z.string("a text of 1 to 100 characters").min(1, "a text of 1 to 100 characters").max(100, "a text of 1 to 100 characters");
const tagBody = z.strictObject({
  tags: z.array(tagText, "a list of texts").min(1, "a list with at least one text").max(50, "a list of at most 50 texts"),
});

const flag = z.union([z.boolean(), z.literal(0), z.literal(1)]);
/** MistServer's keys, loosely: `parseLooseStream` has the last word. */
const configuration = z
  .looseObject(
    {
      source: z
        .string()
        .nullable()
        .optional()
        .meta({ description: "`push://`, a path, or an address to pull from. A masked password stands for the one that is there." }),
      fallback_stream: z.string().nullable().optional(),
      always_on: flag.nullable().optional(),
      tags: z
        .union([z.array(z.string()), z.string()])
        .nullable()
        .optional(),
      DVR: z.union([z.number(), z.string()]).nullable().optional().meta({ description: "Milliseconds of media kept." }),
      segmentsize: z
        .union([z.number(), z.string()])
        .nullable()
        .optional()
        .meta({ description: "Milliseconds, least length of a segment." }),
      resume: flag.nullable().optional(),
      inputtimeout: z
        .union([z.number(), z.string()])
        .nullable()
        .optional()
        .meta({ description: "Seconds that an unused input stays open." }),
    },
    "an object with a `source`",
  )
  .meta({ id: "StreamConfiguration" });
const track = z
  .object({
    id: z.int(),
    kind: z.enum(["video", "audio", "data"]),
    codec: z.string(),
    codecString: z.string().meta({ description: "As RFC 6381 has it." }),
    width: z.int().optional().meta({ description: "Pixels; of video." }),
    height: z.int().optional(),
    frameRate: z.number().optional().meta({ description: "Frames each second, if they are known; of video." }),
    sampleRate: z.int().optional().meta({ description: "Samples each second; of audio." }),
    channels: z.int().optional(),
    language: z.string().optional(),
  })
  .meta({ id: "Track" });
const stream = z
  .object({
    name: z.string(),
    state: z.enum(streamStates).meta({ description: "`ready`: every output starts at once. `offline`: configured, and does not run." }),
    kind: z.enum(["live", "vod"]).optional(),
    source: z.string().optional().meta({ description: "Where it comes from now, without passwords." }),
    tags: z.array(z.string()).meta({ description: "Those of the configuration, and those that were given while it runs." }),
    viewers: z.int(),
    inputs: z.int(),
    outputs: z.int(),
    up: z.number().meta({ description: "Bytes that went out since the stream began." }),
    down: z.number().meta({ description: "Bytes that came in." }),
    tracks: z.array(track),
    fallback: z
      .object({
        shows: z.string().meta({ description: "`live`, the name of another stream, `recording`, or `nothing`." }),
        offlineSince: z.number().optional().meta({ description: "Unix milliseconds; left out while the stream is live." }),
        liveAgain: z.boolean().meta({ description: "The stream is live, and its viewers are still shown something else." }),
        switch: z.enum(["seamless", "offer"]),
      })
      .optional()
      .meta({ description: "While viewers are kept that were there when the stream was offline." }),
    configuration: configuration.optional().meta({ description: "Left out: it is not configured under this name itself." }),
  })
  .meta({ id: "Stream" });
type StreamView = z.infer<typeof stream>;

const example: StreamView = {
  name: "live",
  state: "ready",
  kind: "live",
  source: "push://",
  tags: ["sport"],
  viewers: 12,
  inputs: 1,
  outputs: 0,
  up: 104_857_600,
  down: 8_388_608,
  tracks: [
    { id: 1, kind: "video", codec: "h264", codecString: "avc1.64001f", width: 1280, height: 720, frameRate: 25 },
    { id: 2, kind: "audio", codec: "aac", codecString: "mp4a.40.2", sampleRate: 44_100, channels: 2 },
  ],
  configuration: { source: "push://", tags: ["sport"] },
};

/** `/streams`: what is configured and what runs; changes are asked about (STREAM_ADD, STREAM_CONFIG, STREAM_REMOVE). */
export function streamRoutes(parts: ApiParts): readonly Route[] {
  return [...lookRoutes(parts), ...moveRoutes(parts), ...changeRoutes(parts), ...tagRoutes(parts)];
}

function lookRoutes(parts: ApiParts): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/streams",
      operationId: "listStreams",
      summary: "Streams that are configured or run, by name",
      tag,
      scope: "read",
      query: z.strictObject({
        ...pageQuery,
        state: z.enum(streamStates, `one of ${streamStates.join(", ")}`).optional(),
        tag: z.string().optional().meta({ description: "Only those with this tag." }),
        prefix: z.string().optional().meta({ description: "Only those whose name begins so." }),
        live: z
          .enum(["true", "false"], "true or false")
          .optional()
          .meta({ description: "`true`: only live streams that can be watched now; `false`: only the others." }),
      }),
      response: pageSchema(stream),
      example: { items: [example] },
      run({ query }) {
        const {
          configuration: { settings },
          directory,
        } = parts;
        const names = new Set([...Object.keys(settings.streams), ...directory.list().map(({ name }) => name)]);
        const wanted = [...names].filter((name) => {
          const { state = "offline", kind } = directory.get(name) ?? {};
          if (query.state !== undefined && state !== query.state) return false;
          if (query.live !== undefined && (kind === "live" && state === "ready") !== (query.live === "true")) return false;
          return name.startsWith(query.prefix ?? "") && (query.tag === undefined || parts.streamTags.tagsOf(name).includes(query.tag));
        });
        const page = pageOf(wanted, query, (name) => [name]);
        return { body: { ...page, items: page.items.map((name) => viewOf(name, parts)) } };
      },
    }),
    route({
      method: "get",
      path: "/streams/{name}",
      operationId: "getStream",
      summary: "One stream; its tag guards its configuration",
      tag,
      scope: "read",
      params: byName,
      response: stream,
      example,
      run({ params: { name } }) {
        const entry = entryOf(name, parts);
        if (!entry && !parts.directory.get(name)) throw unknown(name);
        return { body: viewOf(name, parts), guarded: entry ?? null };
      },
    }),
    route({
      method: "post",
      path: "/streams/{name}/stop",
      operationId: "stopStream",
      summary: "End a stream that runs: its publisher and its viewers are cut off",
      tag,
      scope: "operate",
      params: byName,
      async run({ params: { name } }) {
        const ended = await parts.directory.end(name, { code: "CLEAN_CONTROLLER_REQ", text: "ended by a command" });
        if (!ended) throw new SluiceError("api.unknown", `No stream ${JSON.stringify(name)} runs`);
        parts.log.write("INFO", "The stream was ended through the API", { stream: name });
        return {};
      },
    }),
  ];
}

function moveRoutes(parts: ApiParts): readonly Route[] {
  return [
    route({
      method: "post",
      path: "/streams/{name}/move",
      operationId: "moveViewers",
      summary: "Take all who watch a stream to another one, on the same connections and playlists; its publisher goes on",
      tag,
      scope: "operate",
      params: byName,
      body: z.strictObject({
        to: z.string().min(1, "the name of a stream, or the path of a recording").meta({
          description: "A stream, or a recording by path; the stream's own name takes its viewers back.",
        }),
      }),
      bodyExample: { to: "studio-2" },
      async run({ params: { name }, body: { to } }) {
        await parts.programs.move(streamName(name), to);
        parts.log.write("INFO", "The viewers of the stream were moved through the API", { stream: name });
        return {};
      },
    }),
  ];
}

function changeRoutes(parts: ApiParts): readonly Route[] {
  return [
    route({
      method: "put",
      path: "/streams/{name}",
      operationId: "configureStream",
      summary: "Add a stream, or replace its configuration; `If-None-Match: *` only adds",
      tag,
      scope: "admin",
      params: byName,
      body: configuration,
      bodyExample: { source: "push://", tags: ["sport"], DVR: 60_000 },
      response: stream,
      example,
      async run({ params: { name }, body }) {
        const before = entryOf(name, parts);
        const entry = unmaskedEntry(parseLooseStream(name, body, "the body"), before);
        const done = await addStreams([[name, entry]], parts);
        if (!done.has(name)) throw refused(before ? "STREAM_CONFIG" : "STREAM_ADD", "it stays as it was");
        parts.log.write("CONF", "Stream configured through the API", { stream: name });
        return { status: before ? 200 : 201, body: viewOf(name, parts) };
      },
    }),
    route({
      method: "delete",
      path: "/streams/{name}",
      operationId: "removeStream",
      summary: "Take a stream out of the configuration; if it runs, it goes on until its publisher leaves",
      tag,
      scope: "admin",
      params: byName,
      async run({ params: { name } }) {
        if (!entryOf(name, parts)) throw unknown(name);
        const gone = await removeStreams([name], parts);
        if (!gone.has(name)) throw refused("STREAM_REMOVE", "it stays configured");
        parts.log.write("CONF", "Stream removed through the API", { stream: name });
        return {};
      },
    }),
  ];
}

function tagRoutes({ streamTags }: ApiParts): readonly Route[] {
  const response = z.object({ tags: z.array(z.string()) });
  return [
    route({
      method: "post",
      path: "/streams/{name}/tags",
      operationId: "tagStream",
      summary: "Give a stream tags as long as it plays; it may be tagged up to a minute before it comes",
      tag,
      scope: "operate",
      params: byName,
      body: tagBody,
      bodyExample: { tags: ["featured"] },
      response,
      example: { tags: ["featured", "sport"] },
      run({ params: { name }, body }) {
        if (!streamTags.tag(name, body.tags))
          throw new SluiceError("api.conflict", "A stream has at most 512 bytes of tags, and 10,000 streams have some");
        return { body: { tags: streamTags.tagsOf(name) } };
      },
    }),
    route({
      method: "delete",
      path: "/streams/{name}/tags/{tag}",
      operationId: "untagStream",
      summary: "Take a tag from a stream, a configured one too, as long as it plays",
      tag,
      scope: "operate",
      params: z.strictObject({ ...byName.shape, tag: tagText }),
      response,
      example: { tags: ["sport"] },
      run({ params: { name, tag: text } }) {
        if (!streamTags.tagsOf(name).includes(text)) throw new SluiceError("api.unknown", `The stream has no tag ${JSON.stringify(text)}`);
        if (!streamTags.untag(name, [text])) throw new SluiceError("api.conflict", "10,000 streams have changed tags already");
        return { body: { tags: streamTags.tagsOf(name) } };
      },
    }),
  ];
}

function viewOf(name: string, parts: ApiParts): StreamView {
  const running = parts.directory.get(name);
  const entry = entryOf(name, parts);
  const { viewers = 0, inputs = 0, outputs = 0, up = 0, down = 0 } = parts.sessions.counters(name) ?? {};
  return {
    name,
    state: running?.state ?? "offline",
    ...(running && { kind: running.kind, source: maskedSource(running.source) }),
    tags: [...parts.streamTags.tagsOf(name)],
    viewers,
    inputs,
    outputs,
    up,
    down,
    tracks: (running?.tracks ?? []).map(trackOf),
    ...fallbackOf(parts.programs.state(name)),
    ...(entry && { configuration: maskedEntry(entry) }),
  };
}

/** The figures of a track as `/live.json` has them. */
function trackOf(one: Track): z.infer<typeof track> {
  const { id, kind, codec, codecString } = one;
  const names = { id, kind, codec, codecString };
  if (one.kind === "data") return names;
  if (one.kind === "video") {
    const { width, height, frameRate } = one;
    return { ...names, width, height, ...(frameRate !== undefined && { frameRate: Math.round(frameRate * 1000) / 1000 }) };
  }
  const { sampleRate, channels, language } = one;
  return { ...names, sampleRate, channels, ...(language !== undefined && { language }) };
}

function fallbackOf(state: FallbackState | undefined): Pick<StreamView, "fallback"> {
  if (!state) return {};
  const { shows, offlineSince, liveAgain, switch: how } = state;
  return { fallback: { shows, ...(offlineSince !== undefined && { offlineSince }), liveAgain, switch: how } };
}

/** What is configured under this very name. */
function entryOf(name: string, { configuration: { settings } }: ApiParts): StreamEntry | undefined {
  return Object.hasOwn(settings.streams, name) ? settings.streams[name] : undefined;
}

function unknown(name: string): SluiceError {
  const base = baseName(name);
  const advice = base === name ? "" : `; ${JSON.stringify(base)} is what can be configured`;
  return new SluiceError("api.unknown", `There is no stream ${JSON.stringify(name)}${advice}`);
}

function refused(trigger: string, what: string): SluiceError {
  return new SluiceError(
    "access.denied",
    `A handler of ${trigger} said no: ${what}. GET /api/v1/triggers/calls?trigger=${trigger} tells why`,
  );
}
