import { describe, expect, expectTypeOf, it } from "vitest";
import { allow, deny, keep, type Rewriting, rewrite, type Verdict } from "../base/decision.ts";
import { lastKnown } from "./failure/on-fail.ts";
import type { Payload, TriggerName } from "./table.ts";
import type { Decision, Handler, Triggers } from "./trigger.ts";

/** Only compiled: each line that expects an error fails the type check when there is none. */
function registrations(bus: Triggers): void {
  bus.on("USER_NEW", ({ cookies, query, stream }) => stream === "live" && query.user === cookies.user);
  bus.on("USER_NEW", async () => allow({ recheckEvery: "5m" }));
  bus.on("USER_NEW", () => allow({ ttl: "1m", staleFor: "30s", scope: "user", user: "ann", tags: ["vip"] }));
  bus.on("USER_NEW", () => deny("one screen at a time", { scope: "user", user: "ann", final: true }));
  bus.on("USER_NEW", ({ query }) => allow({ user: query["user"] ?? "", limits: { sessions: 2 } }));
  bus.on("USER_NEW", () => allow({ limits: { sessions: 1, per: "stream" } }), { onFail: allow({ limits: { sessions: 1 } }) });
  bus.on("USER_NEW", () =>
    allow({
      limits: [
        { sessions: 2, by: "user", onReached: "end-oldest" },
        { sessions: 9, by: "address" },
      ],
    }),
  );
  // @ts-expect-error a limit in an answer sends nobody elsewhere
  bus.on("USER_NEW", () => allow({ limits: { sessions: 2, onReached: { fallback: "slate" } } }));
  // @ts-expect-error how many is missing
  bus.on("USER_NEW", () => allow({ limits: { per: "stream" } }));
  // @ts-expect-error no such count
  bus.on("USER_NEW", () => allow({ limits: { sessions: 2, per: "server" } }));
  // @ts-expect-error a no has no limits
  bus.on("USER_NEW", () => deny("no", { limits: { sessions: 2 } }));
  // @ts-expect-error only viewers are counted
  bus.on("STREAM_PUSH", () => allow({ limits: { sessions: 1 } }));
  bus.on("CONN_PLAY", () => allow());
  bus.on("USER_NEW", () => deny("no", { denyFor: 0 }), { streams: ["live"], timeoutMs: 2000, onFail: allow() });
  bus.on("PUSH_REWRITE", async ({ stream }) => (stream === "a" ? rewrite("b") : deny("unknown key")));
  bus.on("PUSH_REWRITE", () => keep());
  bus.on("STREAM_BUFFER", ({ state, health }) => void [state, health]);
  bus.on("STREAM_END", ({ viewers }) => void viewers.toFixed());
  // @ts-expect-error only a viewer's session has a life
  bus.on("CONN_PLAY", () => allow({ ttl: "1m" }));
  // @ts-expect-error only a viewer's session has a life
  bus.on("STREAM_PUSH", async () => allow({ user: "ann" }), { timeoutMs: 1 });
  // @ts-expect-error no such scope
  bus.on("USER_NEW", () => allow({ scope: "house" }));
  // @ts-expect-error no duration
  bus.on("USER_NEW", () => allow({ ttl: "soon" }));
  // @ts-expect-error a verdict is no value
  bus.on("USER_NEW", () => rewrite("x"));
  // @ts-expect-error a verdict is no text
  bus.on("USER_NEW", () => "true");
  // @ts-expect-error a verdict needs an answer
  bus.on("USER_NEW", () => undefined);
  // @ts-expect-error a rewrite is no yes
  bus.on("PUSH_REWRITE", () => allow());
  // @ts-expect-error a rewrite is no yes
  bus.on("PUSH_REWRITE", async () => true);
  // @ts-expect-error nobody waits for what a notification says
  bus.on("STREAM_BUFFER", (): boolean => false);
  bus.on("USER_NEW", () => true, {
    onFail: { timeout: lastKnown(deny("later")), open: lastKnown(), default: false },
    maxCalls: 10,
    breaker: false,
  });
  bus.on("PUSH_REWRITE", () => keep(), { onFail: { connection: rewrite("backup"), default: deny("later") }, breaker: { failures: 3 } });
  // @ts-expect-error a verdict cannot keep a value
  bus.on("USER_NEW", () => true, { onFail: keep() });
  // @ts-expect-error a rewrite is no yes, for no cause
  bus.on("PUSH_REWRITE", () => keep(), { onFail: { timeout: allow(), default: keep() } });
  // @ts-expect-error the last answer's substitute is an answer of the trigger
  bus.on("USER_NEW", () => true, { onFail: lastKnown(rewrite("x")) });
  // @ts-expect-error what holds for the other causes is missing
  bus.on("USER_NEW", () => true, { onFail: { timeout: true } });
  // @ts-expect-error no such cause
  bus.on("USER_NEW", () => true, { onFail: { slow: true, default: false } });
  // @ts-expect-error nobody waits for what a notification says
  bus.on("USER_END", () => undefined, { onFail: true });
  // @ts-expect-error the failure policy is an answer too
  bus.on("USER_NEW", () => true, { onFail: rewrite("x") });
  // @ts-expect-error no such field
  bus.on("USER_NEW", ({ viewer }) => viewer === "x");
  // @ts-expect-error a number is no text
  bus.on("USER_NEW", ({ seconds }) => seconds === 1);
  // @ts-expect-error no such trigger
  bus.on("USER_OLD", () => true);
  // @ts-expect-error a field is missing
  void bus.fire("STREAM_READY", { stream: "live" });
}

describe("types of triggers", () => {
  it("follow from the table", () => {
    expect(registrations).toBeTypeOf("function");
    const load: Payload<"STREAM_LOAD"> = { stream: "live" };
    expectTypeOf(load.stream).toBeString();
    expectTypeOf<Payload<"USER_NEW">["tokenIsJwt"]>().toEqualTypeOf<string | undefined>();
    expectTypeOf<Payload<"USER_NEW">["cookies"]>().toEqualTypeOf<Readonly<Record<string, string>>>();
    expectTypeOf<Payload<"STREAM_END">["viewers"]>().toEqualTypeOf<number>();
    expectTypeOf<Parameters<Handler<"USER_NEW">>[1]["signal"]>().toEqualTypeOf<AbortSignal>();
    expectTypeOf<Decision<"STREAM_LOAD">>().toEqualTypeOf<Verdict>();
    expectTypeOf<Decision<"STREAM_SOURCE">>().toEqualTypeOf<Rewriting>();
    expectTypeOf<Decision<"STREAM_BUFFER">>().toEqualTypeOf<void>();
    expectTypeOf<"USER_NEW">().toExtend<TriggerName>();
  });
});
