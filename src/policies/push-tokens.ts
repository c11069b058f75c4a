import { z } from "zod";
import { deny, keep, rewrite } from "../base/decision.ts";
import { streamName } from "../base/stream-name.ts";
import type { TokenRecord } from "../store/token-book.ts";
import type { Payload } from "../triggers/table.ts";
import type { HandlerContext } from "../triggers/trigger.ts";
import { checkedOptions, streamList } from "./options.ts";
import type { Policy, PolicyContext } from "./policy.ts";
import { namePatterns } from "./stream-patterns.ts";
import { faultOf, idOfTag, tagOf } from "./token-rules.ts";

const schema = z.strictObject({
  /** Streams that can be pushed to by token only. Left out: all. */
  streams: streamList.optional(),
  /** What holds for tokens that do not say it: when somebody pushes with the token, or to its stream, already. */
  whenTaken: z.enum(["refuse", "take-over", "backup"], '"refuse", "take-over" or "backup"').optional(),
});

export type PushTokensOptions = z.input<typeof schema>;

/** Once in so many milliseconds it is looked whether a token has expired that somebody pushes with. */
const lookEveryMs = 1000;

/**
 * Encoders push to a long random token in the place of a name; the server goes on under the name that the token stands for.
 * Unknown tokens and the public names themselves are refused. A push ends when its token expires or is revoked.
 * Tokens are made over the API and by `sluice token push create`.
 */
export function pushTokens(options: PushTokensOptions = {}): Policy {
  const { streams, whenTaken } = checkedOptions("pushTokens", schema, options);
  const covers = namePatterns(streams);
  return {
    name: "pushTokens",
    options,
    async start(context) {
      const { tokens, server, clock } = context;
      const ends = new Ends(await pushedBefore(context));
      const owned = new DisposableStack();
      owned.use(
        context.on("PUSH_REWRITE", (payload, { mode }) => pushed(payload, mode, context, ends), {
          onFail: deny("the token cannot be checked now; try again"),
        }),
      );
      owned.use(tokens.onRevoke((record) => record.kind === "push" && void server.stopTagged(tagOf(record), "the push token was revoked")));
      const listener = server.onPushRefused?.((tags) => {
        // Somebody else said no, or the stream was taken in this moment: the use has led to nothing.
        for (const id of tags.map(idOfTag)) if (id !== undefined && ends.taken(id)) void tokens.giveBack(id).catch(() => undefined);
      });
      if (listener) owned.use(listener);
      owned.use(
        clock.every(lookEveryMs, () => {
          for (const id of ends.due(clock.now())) server.stopTagged(tagOf({ id }), "the push token has expired");
        }),
      );
      return owned;
    },
  };

  async function pushed(
    { stream, host, connector = "" }: Payload<"PUSH_REWRITE">,
    mode: HandlerContext["mode"],
    { tokens, server, clock }: PolicyContext,
    ends: Ends,
  ) {
    const record = await tokens.find("push", stream);
    if (!record) return covers(streamName(stream)) ? deny("this is no push token that is known here") : keep();
    const now = clock.now();
    const note = `push token ${record.hint}… (${record.id})`;
    const fault = faultOf(record, { address: host, protocol: connector, now });
    if (fault !== undefined) return deny(fault, { note });
    const target = targetOf(record);
    const taken = record.whenTaken ?? whenTaken ?? "refuse";
    // A server that tells of pushes that did not begin refuses the second one itself, and gives the use back.
    if (taken === "refuse" && !server.onPushRefused && server.publishing(target))
      return deny("somebody pushes to this stream already; stop that first", { note });
    if (mode === "live") {
      if (!(await tokens.use(record.id, now))) return deny("this token has no uses left", { note });
      ends.add(record);
    }
    return rewrite(target, { whenTaken: taken, tags: [tagOf(record)], note });
  }
}

/** When the pushes of tokens have to end, and which tokens this policy has let in with. */
class Ends {
  readonly #at = new Map<string, number>();
  readonly #used = new Set<string>();

  constructor(records: readonly TokenRecord[]) {
    for (const record of records) this.add(record);
    this.#used.clear();
  }

  add({ id, expiresAt }: TokenRecord): void {
    this.#used.add(id);
    if (expiresAt !== undefined) this.#at.set(id, expiresAt);
  }

  /** True if a use of it was counted here. */
  taken(id: string): boolean {
    return this.#used.has(id);
  }

  /** Tokens that have expired since the last look. */
  due(now: number): readonly string[] {
    const due = [...this.#at].filter(([, at]) => at <= now).map(([id]) => id);
    for (const id of due) {
      this.#at.delete(id);
      this.#used.delete(id);
    }
    return due;
  }
}

/** Tokens that somebody may push with already, let in by this policy with other options. */
async function pushedBefore({ tokens, clock }: PolicyContext): Promise<readonly TokenRecord[]> {
  const found: TokenRecord[] = [];
  for (let after: string | undefined; ; ) {
    const page = await tokens.list({ kind: "push", limit: 1000, ...(after !== undefined && { after }) });
    const now = clock.now();
    for (const one of page) if (one.used > 0 && one.revokedAt === undefined && (one.expiresAt ?? 0) > now) found.push(one);
    after = page.at(-1)?.id;
    if (page.length < 1000) return found;
  }
}

/** The stream that a token stands for: `$name` in its template is its label. */
function targetOf({ stream, label = "", id, metadata }: TokenRecord): string {
  const name = typeof metadata?.["name"] === "string" ? metadata["name"] : label;
  return streamName(stream.replace(/\$(?:name|id)/g, (variable) => (variable === "$name" && name !== "" ? name : id)));
}
