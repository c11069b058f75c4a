import { createHash } from "node:crypto";
import { z } from "zod";
import { allow, deny, keep, rewrite, type Verdict } from "../base/decision.ts";
import { baseName } from "../base/stream-name.ts";
import { durationMs } from "../base/time.ts";
import type { TokenRecord } from "../store/token-book.ts";
import type { Payload } from "../triggers/table.ts";
import type { HandlerContext } from "../triggers/trigger.ts";
import { checkedOptions, duration, streamList } from "./options.ts";
import type { Policy, PolicyContext } from "./policy.ts";
import { namePatterns } from "./stream-patterns.ts";
import { Grace } from "./grace.ts";
import { signingKeys } from "./signed-url.ts";
import { endOf, faultOf, idOfTag, tagOf } from "./token-rules.ts";
import { ViewTokenReader, type ViewTokenRecord } from "./view-token-reader.ts";

const keyWords = 'keys by name, such as { "2026-11": "a secret of 16 characters or more" }';
/** Characters of a session's token from which on it is taken for one that nobody guesses; the server's own have 16. */
const leastOwnToken = 16;

const schema = z.strictObject({
  /** Streams that are watched with a token only. Left out: all. */
  streams: streamList.optional(),
  /** True: the streams stay in the public list, `/live.json`, with their names. Left out: they are not listed. */
  listed: z.boolean("true or false").optional(),
  /** Who was in may come back within this without another use, where the token does not say. Left out: 30 s. */
  grace: duration.optional(),
  /** Secrets that signed tokens are signed with, by name: the first signs, all are taken. Left out: there are no signed tokens. */
  keys: z.record(z.string().regex(/^[\w.-]{1,64}$/, keyWords), z.string(keyWords).min(16, keyWords), keyWords).optional(),
});

export type ViewTokensOptions = z.input<typeof schema>;

/**
 * Viewers open a token in the place of a stream's name, or bring it with the name (query `tkn`, cookie, bearer header), and watch
 * what it stands for, as often, as long and from where it says. The streams themselves are refused, and their names never shown.
 * Tokens are made over the API and by `sluice token view create`.
 */
export function viewTokens(options: ViewTokensOptions = {}): Policy {
  const { streams, listed = false, grace = "30s", keys = {} } = checkedOptions("viewTokens", schema, options);
  const covers = namePatterns(streams);
  return {
    name: "viewTokens",
    options,
    async start(context) {
      const { tokens, server, clock } = context;
      const owned = new DisposableStack();
      const reader = owned.use(await ViewTokenReader.open(tokens, signingKeys(keys), clock.now()));
      const past = new Grace();
      const inside = new Map<string, Inside>();
      const onFail = deny("the token cannot be checked now; try again in a moment");
      // A stream of the configuration that needs no token is watched also while the store cannot be asked.
      const open = (name: string): boolean => context.isConfigured(baseName(name)) && !covers(name);
      owned.use(context.on("PLAY_REWRITE", async ({ asked }) => (open(asked) ? keep() : await streamOf(asked, reader)), { onFail }));
      owned.use(context.on("USER_NEW", (payload, { mode }) => admitted(payload, mode), { onFail }));
      owned.use(context.on("USER_END", (end) => left(end)));
      if (!listed) owned.use(context.liveList.arrange({ isListed: ({ name }) => !covers(name) }));
      owned.use(tokens.onRevoke((record) => record.kind === "view" && void server.recheckTagged(tagOf(record))));
      const listener = server.onRefused?.((sessionId) => refused(sessionId));
      if (listener) owned.use(listener);
      return owned;

      async function admitted(payload: Payload<"USER_NEW">, mode: HandlerContext["mode"]): Promise<Verdict> {
        const { stream, host, connector = payload.protocol, recheck, sessionId } = payload;
        if (open(payload.asked) && open(stream)) return allow();
        const found = await shown(payload, reader);
        if (!found) return covers(stream) ? deny("this needs a token that holds", { denyFor: 0 }) : allow();
        const { record, text } = found;
        const now = clock.now();
        const note = `view token ${record.hint}… (${record.id})`;
        const fault =
          faultOf(record, { address: host, protocol: connector, now }) ??
          (matches(record, stream) ? undefined : "this token is for something else");
        // The no is not remembered: a fresh token in the same browser lets in at once.
        if (fault !== undefined) return deny(fault, { note, denyFor: 0 });
        if (!recheck && mode === "live") {
          const keysOf = graceKeys(record, payload, text);
          const back = past.take([...keysOf, ...laterKeys(record.id, payload.token, [host])], now);
          const use = await used(record, payload, back, context);
          if (typeof use === "string") return deny(use, { note, denyFor: 0 });
          inside.set(sessionId, { record, keys: keysOf, ...use });
        }
        const expiresAt = endOf(record, now);
        return allow({
          tags: [tagOf(record)],
          note,
          ...(expiresAt !== undefined && { expiresAt }),
          ...(record.sessions !== undefined && {
            user: tagOf(record),
            limits: { sessions: record.sessions, ...(record.whenTaken === "take-over" && { onReached: "end-oldest" as const }) },
          }),
        });
      }

      /** It was let in here, and did not come in after all: a limit, or somebody else's no. */
      function refused(sessionId: string): void {
        const one = inside.get(sessionId);
        inside.delete(sessionId);
        if (one?.counted) void tokens.giveBack(one.record.id).catch(() => undefined);
        else if (one?.back) past.add(one.keys, clock.now() + graceOf(one.record));
      }

      async function left({ sessionId, token, hosts, tags }: Payload<"USER_END">): Promise<void> {
        const one = inside.get(sessionId);
        inside.delete(sessionId);
        const now = clock.now();
        if (one) return past.add(one.keys, now + graceOf(one.record));
        // Of an earlier run, or let in by this policy with other options: all that is known stands here.
        if (tags.includes("[unanswered]") || (await reader.find(token))) return;
        const ids = [...tags.matchAll(/\[([^\]]*)\]/g)].flatMap(([, tag = ""]) => idOfTag(tag) ?? []);
        for (const id of ids) {
          const record = await tokens.get(id);
          if (record) past.add(laterKeys(id, token, hosts.split(",")), now + graceOf(record));
        }
        if (ids.length === 0 && tags.includes("[server-restart]") && isOwn(token)) past.add([anyToken(token)], now + durationMs(grace));
      }
    },
  };

  function graceOf({ graceMs }: ViewTokenRecord): number {
    return graceMs ?? durationMs(grace);
  }
}

/** A session that is in by a token: what it is known by when it comes back, and whether it has cost a use or came back itself. */
type Inside = { readonly record: ViewTokenRecord; readonly keys: readonly string[]; readonly counted: boolean; readonly back: boolean };

/** The stream that a token stands for when it is opened in the place of a name; other names stay. */
async function streamOf(asked: string, reader: ViewTokenReader) {
  const record = await reader.find(asked);
  if (!record) return keep();
  return isPattern(record.stream) ? deny("this token goes with the name of a stream, as ?tkn=TOKEN") : rewrite(record.stream);
}

/** The token that a viewer shows: the name that was asked for, else what came beside it. */
async function shown(
  { asked, token, query }: Payload<"USER_NEW">,
  reader: ViewTokenReader,
): Promise<{ readonly record: ViewTokenRecord; readonly text: string } | undefined> {
  for (const text of new Set([asked, token, query["token"]])) {
    const record = text ? await reader.find(text) : undefined;
    if (text && record) return { record, text };
  }
  return undefined;
}

function isPattern(stream: string): boolean {
  return stream.includes("*") || stream.endsWith("+");
}

function matches({ stream: wanted }: TokenRecord, stream: string): boolean {
  return wanted === stream || namePatterns([wanted])(stream) || wanted === baseName(stream);
}

/** Counts a use, and sees to whom the token is bound. Gives why it may not be, in words for the viewer. */
async function used(
  record: ViewTokenRecord,
  payload: Payload<"USER_NEW">,
  back: boolean,
  { tokens, clock }: PolicyContext,
): Promise<string | Pick<Inside, "counted" | "back">> {
  const { bind } = record;
  // A signed token that says everything itself counts nothing.
  if (record.signed && record.createdAt === 0) return { counted: false, back };
  const who = bind && deviceOf(payload, bind.to);
  const moved = who !== undefined && record.boundTo !== undefined && record.boundTo !== who;
  if (moved && bind?.how === "strict") return `this token is bound to another ${bind.to}`;
  // Who comes back does not pay twice; who moves to another device does.
  const counted = !back || moved;
  if (counted && !(await tokens.use(record.id, clock.now()))) return "this token has no uses left";
  if (who === undefined) return { counted, back };
  const bound = await tokens.bind(record.id, who);
  if (bound === who) return { counted, back };
  if (bind?.how === "soft") {
    await tokens.rebind(record.id, who);
    return { counted, back };
  }
  // Somebody else was first in this moment.
  if (counted) await tokens.giveBack(record.id);
  return `this token is bound to another ${bind?.to}`;
}

/** What a viewer is known by: the address, or what a browser says of itself, from wherever it comes. */
function deviceOf({ host, headers }: Payload<"USER_NEW">, by: "address" | "device"): string {
  if (by === "address") return host;
  const traits = ["user-agent", "accept-language", "sec-ch-ua", "sec-ch-ua-platform"].map((name) => headers[name] ?? "");
  const known = traits.some((trait) => trait !== "") ? traits : [...traits, host];
  return createHash("sha256").update(known.join("\n")).digest("hex").slice(0, 32);
}

/** A session's token that the server has given out: nobody else has it. */
function isOwn(token: string): boolean {
  return token.length >= leastOwnToken;
}

/** What who comes back to a token is known by: the token of its session, if that is its own, or its device at its address. */
function graceKeys({ id }: ViewTokenRecord, payload: Payload<"USER_NEW">, text: string): readonly string[] {
  const own = payload.token !== text && isOwn(payload.token) ? [`${id} session ${payload.token}`] : [];
  return [...own, `${id} device ${deviceOf(payload, "device")} ${payload.host}`];
}

/** The same of a session of which only its end is known. */
function laterKeys(id: string, token: string, hosts: readonly string[]): readonly string[] {
  const own = isOwn(token) ? [`${id} session ${token}`, anyToken(token)] : [];
  return [...own, ...hosts.map((host) => `${id} address ${host}`)];
}

function anyToken(token: string): string {
  return `any session ${token}`;
}
