import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { policyScene } from "../../test/support/policy-scene.ts";
import { viewTokens } from "./view-tokens.ts";

type Step =
  | { readonly kind: "come" | "go"; readonly who: number }
  | { readonly kind: "wait"; readonly seconds: number }
  | { readonly kind: "revoke" }
  | { readonly kind: "reload"; readonly round: number };

/** Somebody who is in goes and comes back later. */
const comesBack = fc
  .record({ who: fc.nat(3), seconds: fc.oneof(fc.integer({ min: 18, max: 33 }), fc.integer({ min: 1, max: 60 })) })
  .map(({ who, seconds }): readonly Step[] => [
    { kind: "come", who },
    { kind: "go", who },
    { kind: "wait", seconds },
    { kind: "come", who },
  ]);
/** What may happen to a token, in any order. Viewers are known by their session's token, and each has an address of its own. */
const single: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("come" as const), who: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("go" as const), who: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), seconds: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("revoke" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reload" as const), round: fc.nat(1000) }) },
);
const steps = fc
  .array(fc.oneof({ weight: 2, arbitrary: single.map((one): readonly Step[] => [one]) }, { weight: 1, arbitrary: comesBack }), {
    minLength: 1,
    maxLength: 15,
    size: "max",
  })
  .map((parts) => parts.flat());

const graceMs = 20_000;
/** A session ends so long after its last connection, looked at once a second. */
const idleMs = [14_000, 17_500] as const;

describe("a viewing token", () => {
  it("never has more uses than it may, never lets in when it is over, and lets who comes back in time in for nothing", async () => {
    // What was met: a test of a sequence that never happens says nothing.
    const met = { over: 0, still: 0, back: 0, paid: 0, spent: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          uses: fc.integer({ min: 1, max: 3 }),
          lifeSeconds: fc.integer({ min: 10, max: 400 }),
          steps,
        }),
        async ({ uses, lifeSeconds, steps }) => {
          await using scene = await policyScene();
          scene.bench.live("concert");
          const { clock } = scene.bench;
          const expiresAt = clock.now() + lifeSeconds * 1000;
          const { token, record } = await scene.store.tokens.create({ kind: "view", stream: "concert", uses, graceMs, expiresAt });
          await scene.apply(viewTokens());
          let revoked = false;
          const connections = new Map<number, Disposable>();
          /** When the last connection of somebody who was in has closed. */
          const left = new Map<number, number>();
          const used = async (): Promise<number> => (await scene.store.tokens.get(record.id))?.used ?? -1;
          for (const one of steps) {
            if (one.kind === "wait") await clock.advance(one.seconds * 1000);
            else if (one.kind === "reload") await scene.apply(viewTokens({ grace: one.round + 1 }));
            else if (one.kind === "revoke") {
              await scene.store.tokens.revoke(record.id, clock.now());
              await clock.advance(0);
              revoked = true;
            } else if (one.kind === "go") {
              if (connections.has(one.who)) left.set(one.who, clock.now());
              connections.get(one.who)?.[Symbol.dispose]();
              connections.delete(one.who);
            } else if (!connections.has(one.who)) {
              const before = await used();
              const { answer, admission } = await scene.view(token, {
                query: { tkn: `the-session-of-viewer-${one.who}` },
                address: `192.0.2.${one.who}`,
              });
              const paid = (await used()) - before;
              const away = clock.now() - (left.get(one.who) ?? Number.NEGATIVE_INFINITY);
              if (revoked || clock.now() >= expiresAt) {
                met.over++;
                expect(answer).not.toBe("in");
              } else if (away < idleMs[0]) {
                met.still++;
                expect([answer, paid]).toEqual(["in", 0]);
              } else if (away > idleMs[1] && away < idleMs[0] + graceMs) {
                met.back++;
                expect([answer, paid]).toEqual(["in", 0]);
              } else if (away > idleMs[1] + graceMs) {
                met[before < uses ? "paid" : "spent"]++;
                expect([answer, paid]).toEqual(before < uses ? ["in", 1] : ["this token has no uses left", 0]);
              }
              if (admission) {
                connections.set(one.who, admission);
                left.delete(one.who);
              } else left.delete(one.who);
            }
            expect(await used()).toBeLessThanOrEqual(uses);
            if (revoked || clock.now() >= expiresAt + 1_000)
              expect(scene.bench.sessions.list().filter(({ state, type }) => type === "viewer" && state === "accepted")).toEqual([]);
          }
        },
      ),
      { numRuns: 60 },
    );
    for (const [what, times] of Object.entries(met)) expect([what, times]).not.toEqual([what, 0]);
  }, 60_000);
});
