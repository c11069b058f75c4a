import { z } from "zod";
import { deny, keep, rewrite } from "../base/decision.ts";
import { streamName } from "../base/stream-name.ts";
import type { TokenRecord } from "../store/token-book.ts";
import type { Payload } from "../triggers/table.ts";
import type { HandlerContext } from "../triggers/trigger.ts";
import { checkedOptions, streamList } from "./options.ts";
import type { Policy, PolicyContext } from "./policy.ts";
import { namePatterns } from "./stream-patterns.ts";
import { faultOf, tagOf } from "./token-rules.ts";

const schema = z.strictObject({
  /** Streams that can be pushed to by token only. Left out: all. */
  streams: streamList.optional(),
  /** What holds for tokens that do not say it: when somebody pushes with the token, or to its stream, already. */
  whenTaken: z.enum(["refuse", "take-over", "backup"], '"refuse", "take-over" or "backup"').optional(),
});

export type PushTokensOptions = z.input<typeof schema>;

/**
 * Encoders push to a long random token in the place of a name; the server goes on under the name that the token stands for.
 * Unknown tokens and the public names themselves are refused. Tokens are made over the API and by `sluice token push create`.
 */
export function pushTokens(options: PushTokensOptions = {}): Policy {
  const { streams, whenTaken } = checkedOptions("pushTokens", schema, options);
  const covers = namePatterns(streams);
  return {
    name: "pushTokens",
    options,
    start(context) {
      const owned = new DisposableStack();
      owned.use(
        context.on("PUSH_REWRITE", (payload, { mode }) => pushed(payload, mode, context), {
          onFail: deny("the token cannot be checked now; try again"),
        }),
      );
      owned.use(
        context.tokens.onRevoke(
          (record) => record.kind === "push" && context.server.stopTagged(tagOf(record), "the push token was revoked"),
        ),
      );
      return owned;
    },
  };

  async function pushed(
    { stream, host, connector = "" }: Payload<"PUSH_REWRITE">,
    mode: HandlerContext["mode"],
    { tokens, server, clock }: PolicyContext,
  ) {
    const record = await tokens.find("push", stream);
    if (!record) return covers(streamName(stream)) ? deny("this is no push token that is known here") : keep();
    const now = clock.now();
    const note = `push token ${record.hint}… (${record.id})`;
    const fault = faultOf(record, { address: host, protocol: connector, now });
    if (fault !== undefined) return deny(fault, { note });
    const target = targetOf(record);
    const taken = record.whenTaken ?? whenTaken ?? "refuse";
    if (taken === "refuse" && server.publishing(target)) return deny("somebody pushes to this stream already; stop that first", { note });
    if (mode === "live" && !(await tokens.use(record.id, now))) return deny("this token has no uses left", { note });
    return rewrite(target, { whenTaken: taken, tags: [tagOf(record)], note });
  }
}

/** The stream that a token stands for: `$name` in its template is its label. */
function targetOf({ stream, label = "", id, metadata }: TokenRecord): string {
  const name = typeof metadata?.["name"] === "string" ? metadata["name"] : label;
  return streamName(stream.replaceAll("$name", () => name || id).replaceAll("$id", () => id));
}
