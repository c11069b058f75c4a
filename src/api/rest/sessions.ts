import { createHash } from "node:crypto";
import { z } from "zod";
import { SluiceError } from "../../base/errors.ts";
import { picks } from "../../sessions/pick.ts";
import type { SessionPick, SessionView } from "../../sessions/session.ts";
import type { ApiParts } from "../parts.ts";
import { pageOf, pageQuery, pageSchema } from "./frame/page.ts";
import { type Route, route } from "./route.ts";

const tag = "sessions";
const byId = z.strictObject({ id: z.string() });
const types = ["viewer", "input", "output", "unspecified"] as const;
const states = ["checking", "accepted", "denied", "ended"] as const;
const reasonWords = "a text of at most 200 characters";
const reason = z.string(reasonWords).max(200, reasonWords);
const byCommand = "The session was ended by a command.";

const session = z
  .object({
    id: z.string(),
    type: z.enum(types),
    state: z.enum(states),
    stream: z.string().meta({ description: "Empty: it has several now." }),
    protocol: z.string().meta({ description: "Its connectors of the last 15 seconds, with commas between them." }),
    address: z.string().meta({ description: "`::`: it has several now." }),
    user: z.string().meta({ description: "Who the viewer is, as USER_NEW said; empty if it did not." }),
    tokenHash: z.string().meta({ description: "The first 16 digits of the SHA-256 of its token; empty without one." }),
    tags: z.array(z.string()),
    startedAt: z.number().meta({ description: "Unix milliseconds." }),
    seconds: z.number().meta({ description: "Seconds that it was connected." }),
    positionMs: z.number().meta({ description: "Media position." }),
    up: z.number().meta({ description: "Bytes to the client." }),
    down: z.number().meta({ description: "Bytes from the client." }),
    upPerSecond: z.number().meta({ description: "Over the last 5 seconds." }),
    downPerSecond: z.number(),
  })
  .meta({ id: "Session" });

const list = (words: string) => z.array(z.string(words), words).max(10_000, "a list of at most 10000 texts").optional();
const pick = z
  .strictObject({
    ids: list("a list of session ids"),
    streams: list("a list of names").meta({ description: "A name, `base+` for all below it, or a pattern with `*`." }),
    tags: list("a list of tags"),
    users: list("a list of users"),
    tokens: list("a list of tokens"),
    addresses: list("a list of addresses").meta({ description: "Addresses and networks (`203.0.113.0/24`)." }),
    reason: reason.optional().meta({ description: "What the clients are told, as far as the protocol lets them be told." }),
  })
  .refine(
    ({ reason: _reason, ...lists }) => Object.values(lists).some((one) => one !== undefined && one.some((text) => text !== "")),
    "an object in which at least one of ids, streams, tags, users, tokens, addresses has something",
  )
  .meta({ id: "SessionPick", description: "Sessions that fit any of the lists." });
const touched = z.object({ sessions: z.int().meta({ description: "How many sessions it touched." }) });
const tagWords = "a text of 1 to 100 characters";
const tagText = z.string(tagWords).min(1, tagWords).max(100, tagWords);

const example = {
  id: "8c7dd922ad47494fc02c388e12c00eac",
  type: "viewer",
  state: "accepted",
  stream: "live",
  protocol: "HLS",
  address: "203.0.113.7",
  user: "u-1017",
  tokenHash: "9f86d081884c7d65",
  tags: ["vip"],
  startedAt: 1_767_225_600_000,
  seconds: 312,
  positionMs: 310_000,
  up: 104_857_600,
  down: 0,
  upPerSecond: 320_000,
  downPerSecond: 0,
};

/** `/sessions`: who watches and pushes; ends them, asks again about them, tags them. */
export function sessionRoutes(parts: ApiParts): readonly Route[] {
  return [...lookRoutes(parts), ...manyRoutes(parts), ...oneRoutes(parts)];
}

function lookRoutes({ sessions }: ApiParts): readonly Route[] {
  return [
    route({
      method: "get",
      path: "/sessions",
      operationId: "listSessions",
      summary: "Sessions that live, oldest first; those of the last 600 seconds with `state=ended`",
      tag,
      scope: "read",
      query: z.strictObject({
        ...pageQuery,
        stream: z.string().optional().meta({ description: "A name, `base+` for all below it, or a pattern with `*`." }),
        type: z.enum(types, `one of ${types.join(", ")}`).optional(),
        user: z.string().optional(),
        tag: z.string().optional(),
        address: z.string().optional().meta({ description: "An address or a network (`203.0.113.0/24`)." }),
        protocol: z.string().optional().meta({ description: "A connector: `HLS`, `INPUT:RTMP`." }),
        state: z
          .enum(states, `one of ${states.join(", ")}`)
          .optional()
          .meta({ description: "Left out: all but those that have ended." }),
      }),
      response: pageSchema(session),
      example: { items: [example] },
      run({ query }) {
        const { stream, type, user, tag: tagged, address, protocol, state } = query;
        const filters = [
          (one: SessionView) => (state === undefined ? one.state !== "ended" : one.state === state),
          type !== undefined && ((one: SessionView) => one.type === type),
          protocol !== undefined && ((one: SessionView) => one.protocol.split(",").includes(protocol)),
          stream !== undefined && picks({ streams: [stream] }),
          user !== undefined && picks({ users: [user] }),
          tagged !== undefined && picks({ tags: [tagged] }),
          address !== undefined && picks({ addresses: [address] }),
        ].filter((filter) => filter !== false);
        const wanted = sessions.list().filter((one) => filters.every((fits) => fits(one)));
        // One session may be there twice: as it ended, and as it began anew.
        const page = pageOf(wanted, query, ({ startedAt, id, state: now }) => [startedAt, id, now]);
        return { body: { ...page, items: page.items.map(viewOf) } };
      },
    }),
    route({
      method: "get",
      path: "/sessions/{id}",
      operationId: "getSession",
      summary: "One session; also one that was refused or has ended within the last 600 seconds",
      tag,
      scope: "read",
      params: byId,
      response: session,
      example,
      run({ params: { id } }) {
        const found = sessions.get(id);
        if (!found) throw unknown(id);
        return { body: viewOf(found) };
      },
    }),
  ];
}

function manyRoutes({ sessions, log }: ApiParts): readonly Route[] {
  return [
    route({
      method: "post",
      path: "/sessions/stop",
      operationId: "stopSessions",
      summary: "End sessions",
      tag,
      scope: "operate",
      body: pick,
      bodyExample: { users: ["u-1017"], reason: "your subscription has ended" },
      response: touched,
      example: { sessions: 2 },
      run({ body: { reason: why = byCommand, ...lists } }) {
        const count = sessions.stop(pickOf(lists), why);
        log.write("INFO", `Sessions ended through the API: ${count}`);
        return { body: { sessions: count } };
      },
    }),
    route({
      method: "post",
      path: "/sessions/invalidate",
      operationId: "invalidateSessions",
      summary: "Ask USER_NEW again about viewers, at once; the answer comes when all are answered",
      tag,
      scope: "operate",
      body: pick,
      bodyExample: { streams: ["live"] },
      response: touched,
      example: { sessions: 40 },
      async run({ body: { reason: _reason, ...lists } }) {
        const count = await sessions.invalidate(pickOf(lists));
        log.write("INFO", `Sessions asked about again through the API: ${count}`);
        return { body: { sessions: count } };
      },
    }),
  ];
}

function oneRoutes({ sessions, log }: ApiParts): readonly Route[] {
  return [
    route({
      method: "delete",
      path: "/sessions/{id}",
      operationId: "stopSession",
      summary: "End one session",
      tag,
      scope: "operate",
      params: byId,
      query: z.strictObject({ reason: reason.optional() }),
      run({ params: { id }, query: { reason: why = byCommand } }) {
        if (sessions.stop({ ids: [id] }, why) === 0) throw unknown(id);
        log.write("INFO", "1 session was ended through the API");
        return {};
      },
    }),
    route({
      method: "post",
      path: "/sessions/{id}/tags",
      operationId: "tagSession",
      summary: "Give a session tags",
      tag,
      scope: "operate",
      params: byId,
      body: z.strictObject({
        tags: z.array(tagText, "a list of texts").min(1, "a list with at least one text").max(50, "a list of at most 50 texts"),
      }),
      bodyExample: { tags: ["vip"] },
      response: session,
      example,
      run({ params: { id }, body: { tags } }) {
        if (!lives(sessions.get(id))) throw unknown(id);
        for (const one of tags) if (!sessions.tag(id, one)) throw new SluiceError("api.conflict", "A session has no room for another tag");
        return { body: viewOf(found(sessions.get(id), id)) };
      },
    }),
    route({
      method: "delete",
      path: "/sessions/{id}/tags/{tag}",
      operationId: "untagSession",
      summary: "Take a tag from a session",
      tag,
      scope: "operate",
      params: z.strictObject({ id: z.string(), tag: tagText }),
      response: session,
      example,
      run({ params: { id, tag: text } }) {
        if (!lives(sessions.get(id))) throw unknown(id);
        if (!sessions.untag(id, text)) throw new SluiceError("api.unknown", `The session has no tag ${JSON.stringify(text)}`);
        return { body: viewOf(found(sessions.get(id), id)) };
      },
    }),
  ];
}

/** Without the lists that were left out. */
function pickOf(lists: { readonly [K in keyof SessionPick]: SessionPick[K] | undefined }): SessionPick {
  return Object.fromEntries(Object.entries(lists).filter(([, one]) => one !== undefined));
}

function lives(session: SessionView | undefined): boolean {
  return session?.state === "accepted" || session?.state === "checking";
}

function found(session: SessionView | undefined, id: string): SessionView {
  if (!session) throw unknown(id);
  return session;
}

function unknown(id: string): SluiceError {
  return new SluiceError("api.unknown", `No session ${JSON.stringify(id)} lives; GET /api/v1/sessions lists them`);
}

function viewOf({
  id,
  type,
  state,
  token,
  protocol,
  host,
  stream,
  startedAt,
  seconds,
  positionMs,
  up,
  down,
  upPerSecond,
  downPerSecond,
  tags,
  user,
}: SessionView) {
  // A publisher's session goes by the number of its connection, which is no token.
  const tokenHash = token === "" || type === "input" ? "" : createHash("sha256").update(token).digest("hex").slice(0, 16);
  const counts = { startedAt, seconds, positionMs, up, down, upPerSecond, downPerSecond };
  return { id, type, state, stream, protocol, address: host, user, tokenHash, tags, ...counts };
}
