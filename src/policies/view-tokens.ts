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
import { endOf, faultOf, tagOf } from "./token-rules.ts";

const schema = z.strictObject({
  /** Streams that are watched with a token only. Left out: all. */
  streams: streamList.optional(),
  /** Who was in may come back within this without another use, where the token does not say. Left out: 30 s. */
  grace: duration.optional(),
});

export type ViewTokensOptions = z.input<typeof schema>;

/** Viewers of the past that are remembered for their grace time. */
const mostPast = 50_000;

/** Who has watched with a token a moment ago, and until when they may come back. */
class Past {
  readonly #until = new Map<string, number>();

  add(key: string, until: number): void {
    this.#until.delete(key);
    this.#until.set(key, until);
    if (this.#until.size > mostPast) for (const oldest of this.#until.keys()) return void this.#until.delete(oldest);
  }

  has(key: string, now: number): boolean {
    return (this.#until.get(key) ?? 0) > now;
  }
}

/**
 * Viewers open a token in the place of a stream's name, or bring it with the name (query `tkn`, cookie, bearer header), and watch
 * what it stands for, as often, as long and from where it says. The streams themselves are refused, and their names never shown.
 * Tokens are made over the API and by `sluice token view create`.
 */
export function viewTokens(options: ViewTokensOptions = {}): Policy {
  const { streams, grace = "30s" } = checkedOptions("viewTokens", schema, options);
  const covers = namePatterns(streams);
  return {
    name: "viewTokens",
    options,
    start(context) {
      const { tokens, server, clock } = context;
      const past = new Past();
      /** Sessions that are in, and by which token: for the grace time when they end. */
      const inside = new Map<string, { readonly key: string; readonly graceMs: number }>();
      const owned = new DisposableStack();
      const onFail = deny("the token cannot be checked now; try again in a moment");
      owned.use(context.on("PLAY_REWRITE", async ({ asked }) => await streamOf(asked, context), { onFail }));
      owned.use(context.on("USER_NEW", (payload, { mode }) => admitted(payload, mode), { onFail }));
      owned.use(
        context.on("USER_END", ({ sessionId }) => {
          const left = inside.get(sessionId);
          inside.delete(sessionId);
          if (left) past.add(left.key, clock.now() + left.graceMs);
        }),
      );
      owned.use(tokens.onRevoke((record) => record.kind === "view" && void server.recheckTagged(tagOf(record))));
      return owned;

      async function admitted(payload: Payload<"USER_NEW">, mode: HandlerContext["mode"]): Promise<Verdict> {
        const { stream, host, connector = payload.protocol, recheck, sessionId } = payload;
        const record = await shown(payload, context);
        if (!record) return covers(stream) ? deny("this needs a token that holds") : allow();
        const now = clock.now();
        const note = `view token ${record.hint}… (${record.id})`;
        const fault =
          faultOf(record, { address: host, protocol: connector, now }) ??
          (matches(record, stream) ? undefined : "this token is for something else");
        if (fault !== undefined) return deny(fault, { note, denyFor: "10s" });
        const key = `${record.id} ${deviceOf(payload, "device")}`;
        if (!recheck && mode === "live") {
          const refusal = await used(record, payload, past.has(key, now), context);
          if (refusal !== undefined) return deny(refusal, { note, denyFor: 0 });
          inside.set(sessionId, { key, graceMs: record.graceMs ?? durationMs(grace) });
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
    },
  };
}

/** The stream that a token stands for when it is opened in the place of a name; other names stay. */
async function streamOf(asked: string, { tokens }: PolicyContext) {
  const record = await tokens.find("view", asked);
  if (!record) return keep();
  return /[*+]$/.test(record.stream) ? deny("this token goes with the name of a stream, as ?tkn=TOKEN") : rewrite(record.stream);
}

/** The token that a viewer shows: the name that was asked for, else what came beside it. */
async function shown({ asked, token, query }: Payload<"USER_NEW">, { tokens }: PolicyContext): Promise<TokenRecord | undefined> {
  for (const text of [asked, token, query["token"]]) {
    const record = text ? await tokens.find("view", text) : undefined;
    if (record) return record;
  }
  return undefined;
}

function matches({ stream: wanted }: TokenRecord, stream: string): boolean {
  return wanted === stream || namePatterns([wanted])(stream) || wanted === baseName(stream);
}

/** Counts a use, and sees to whom the token is bound. Gives why it may not be, in words for the viewer. */
async function used(
  record: TokenRecord,
  payload: Payload<"USER_NEW">,
  back: boolean,
  { tokens, clock }: PolicyContext,
): Promise<string | undefined> {
  const { bind } = record;
  const who = bind && deviceOf(payload, bind.to);
  const moved = who !== undefined && (await tokens.bind(record.id, who)) !== who;
  if (moved && bind?.how === "strict") return `this token is bound to another ${bind.to}`;
  // Who comes back does not pay twice; who moves to another device does.
  if (back && !moved) return undefined;
  if (!(await tokens.use(record.id, clock.now()))) return "this token has no uses left";
  if (moved && who !== undefined) await tokens.rebind(record.id, who);
  return undefined;
}

/** What a viewer is known by: the address, or what a browser says of itself, from wherever it comes. */
function deviceOf({ host, headers }: Payload<"USER_NEW">, by: "address" | "device"): string {
  if (by === "address") return host;
  const traits = ["user-agent", "accept-language", "sec-ch-ua", "sec-ch-ua-platform"].map((name) => headers[name] ?? "");
  const known = traits.some((trait) => trait !== "") ? traits : [...traits, host];
  return createHash("sha256").update(known.join("\n")).digest("hex").slice(0, 32);
}
