import { describe, expect, it } from "vitest";
import { policyScene } from "../../test/support/policy-scene.ts";
import { deny } from "../base/decision.ts";
import type { AccessRequest } from "../sessions/access-request.ts";
import type { TokenSpec } from "../store/token-book.ts";
import { viewTokens, type ViewTokensOptions } from "./view-tokens.ts";

const hidden = "concert-of-tonight";
const firefox = { "user-agent": "Firefox/140", "accept-language": "de" };
const safari = { "user-agent": "Safari/19", "accept-language": "de" };

async function open(options: ViewTokensOptions = {}, streams: readonly string[] = [hidden]) {
  const scene = await policyScene();
  for (const name of streams) scene.bench.live(name);
  await scene.apply(viewTokens(options));
  const { bench, store, watch } = scene;
  let viewer = 0;
  const create = async (spec: Partial<TokenSpec> = {}) => await store.tokens.create({ kind: "view", stream: hidden, ...spec });
  return {
    scene,
    bench,
    create,
    tokens: store.tokens,
    watch: watch.bind(scene),
    view: scene.view.bind(scene),
    /** Somebody else each time. */
    fresh: (part: Partial<AccessRequest> = {}): Partial<AccessRequest> => ({
      ...part,
      query: { tkn: `a-session-of-its-own-${++viewer}`, ...part.query },
    }),
    uses: async (id: string) => (await store.tokens.get(id))?.used,
    /** All connections have closed, and the session has ended. */
    async leave(...views: readonly { readonly admission?: Disposable }[]) {
      for (const { admission } of views) admission?.[Symbol.dispose]();
      await bench.clock.advance(17_000);
    },
    [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose](),
  };
}

const without = "this needs a token that holds";
const spent = "this token has no uses left";

describe("viewTokens", () => {
  it("keeps the streams out of the public list, as their names are nobody's business, unless it is told to list them", async () => {
    const listed = async (options: ViewTokensOptions) => {
      await using door = await open(options);
      const stream = { name: hidden } as Parameters<NonNullable<(typeof door.scene.arrangements)[number]["isListed"]>>[0];
      const all = (name: string): boolean => door.scene.arrangements.every(({ isListed }) => isListed?.({ ...stream, name }) ?? true);
      return { hidden: all(hidden), other: all("other") };
    };
    expect(await listed({ streams: [hidden] })).toEqual({ hidden: false, other: true });
    expect(await listed({ streams: [hidden], listed: true })).toEqual({ hidden: true, other: true });
  });

  it("asks the store about no configured stream that needs no token: those are watched also while it is away", async () => {
    await using door = await open({ streams: [hidden] }, [hidden, "live"]);
    await door.scene.store[Symbol.asyncDispose]();
    expect(await door.watch("live", door.fresh())).toBe("in");
    expect(await door.watch(hidden, door.fresh())).toBe("the token cannot be checked now; try again in a moment");
  });

  it("opens a token in the place of a name, or beside the name, and refuses the name itself", async () => {
    await using door = await open();
    const { token } = await door.create();
    const bearer = { headers: { authorization: `Bearer ${token}` } };
    expect(await door.watch(token, door.fresh())).toBe("in");
    expect(await door.watch(hidden, { query: { tkn: token } })).toBe("in");
    expect(await door.watch(hidden, { cookies: { tkn: token } })).toBe("in");
    expect(await door.watch(hidden, bearer)).toBe("in");
    expect(await door.watch(hidden, door.fresh({ query: { token } }))).toBe("in");
    expect(await door.watch(token, { protocol: "RTMP", url: `rtmp://h/play/${token}`, carriesToken: false })).toBe("in");
    for (const part of [{}, door.fresh(), { query: { tkn: token.slice(1) } }, { headers: { authorization: "Bearer x" } }])
      expect(await door.watch(hidden, part)).toBe(without);
    for (const name of [token.slice(1), `${token}x`, "nothing"])
      expect(await door.watch(name, door.fresh())).toBe("This stream is offline.");
    const { token: push } = await door.tokens.create({ kind: "push", stream: hidden });
    expect(await door.watch(push, door.fresh())).toBe("This stream is offline.");
  });

  it("tells no viewer the real name", async () => {
    await using door = await open();
    const one = await door.create({ uses: 1 });
    const late = await door.create({ notBefore: door.bench.clock.now() + 1000 });
    const answers = [
      await door.watch(one.token, door.fresh()),
      await door.watch(one.token, door.fresh()),
      await door.watch(late.token, door.fresh()),
      await door.watch(hidden, door.fresh()),
      await door.watch(`${hidden}x`, { query: { tkn: one.token } }),
    ];
    expect(answers.join("\n")).not.toContain(hidden);
    const shown = await door.view((await door.create()).token, door.fresh());
    expect(shown.admission?.askedName).not.toContain(hidden);
  });

  it("is for one stream, or with the stream's name for all that its pattern takes", async () => {
    await using door = await open({}, ["show+a", "show+b", "other"]);
    const { token } = await door.create({ stream: "show+" });
    expect(await door.watch("show+a", { query: { tkn: token } })).toBe("in");
    expect(await door.watch("show+b", { query: { tkn: token }, address: "192.0.2.1" })).toBe("in");
    expect(await door.watch("other", { query: { tkn: token } })).toBe("this token is for something else");
    expect(await door.watch(token, door.fresh())).toBe("this token goes with the name of a stream, as ?tkn=TOKEN");
    const { token: starred } = await door.create({ stream: "*a" });
    expect(await door.watch("show+a", { query: { tkn: starred } })).toBe("in");
    expect(await door.watch("show+b", { query: { tkn: starred } })).toBe("this token is for something else");
  });

  it("leaves other streams alone when it is for some", async () => {
    await using door = await open({ streams: [hidden] }, [hidden, "open"]);
    expect([await door.watch("open", door.fresh()), await door.watch(hidden, door.fresh())]).toEqual(["in", without]);
  });

  it("lets in as often as the token says, however many come at once, and gives back what led to nothing", async () => {
    await using door = await open();
    const { token, record } = await door.create({ uses: 3 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => door.watch(token, door.fresh())));
    expect(answers.toSorted()).toEqual([...Array.from({ length: 3 }, () => "in"), ...Array.from({ length: 47 }, () => spent)]);
    expect(await door.uses(record.id)).toBe(3);
    const other = await door.create({ uses: 2 });
    const no = door.bench.triggers.on("USER_NEW", () => deny("not today", { denyFor: 0 }));
    expect(await door.watch(other.token, door.fresh())).toBe("not today");
    await expect.poll(() => door.uses(other.record.id)).toBe(0);
    no[Symbol.dispose]();
    expect(await door.watch(other.token, door.fresh())).toBe("in");
  });

  it("lets so many watch at once; the next is refused and has paid nothing, or takes the oldest's place", async () => {
    await using door = await open();
    const few = await door.create({ sessions: 2, uses: 9 });
    const [first, second] = [await door.view(few.token, door.fresh()), await door.view(few.token, door.fresh())];
    expect(await door.watch(few.token, door.fresh())).toContain("2 viewers at most");
    await expect.poll(() => door.uses(few.record.id)).toBe(2);
    await door.leave(first);
    expect(await door.watch(few.token, door.fresh())).toBe("in");
    expect(second.admission?.signal.aborted).toBe(false);
    const newest = await door.create({ sessions: 1, whenTaken: "take-over" });
    const phone = await door.view(newest.token, door.fresh());
    const tablet = await door.view(newest.token, door.fresh());
    expect([phone.admission?.signal.aborted, tablet.admission?.signal.aborted]).toEqual([true, false]);
  });

  it("ends with its time: a moment, or so long after its first use; and when it is revoked", async () => {
    await using door = await open();
    const { clock } = door.bench;
    const timed = await door.create({ expiresAt: clock.now() + 30_000 });
    const rented = await door.create({ lifetimeMs: 60_000 });
    const taken = await door.create();
    await clock.advance(5_000);
    const [one, two, three] = await Promise.all([timed, rented, taken].map(({ token }) => door.view(token, door.fresh())));
    const ended = () => [one, two, three].map((view) => view?.admission?.signal.aborted);
    await clock.advance(24_000);
    expect(ended()).toEqual([false, false, false]);
    await clock.advance(2_000);
    expect(ended()).toEqual([true, false, false]);
    await door.tokens.revoke(taken.record.id, clock.now());
    await expect.poll(ended).toEqual([true, false, true]);
    await clock.advance(33_000);
    expect(ended()[1]).toBe(false);
    await clock.advance(3_000);
    expect(ended()[1]).toBe(true);
    expect(await door.watch(timed.token, door.fresh())).toBe("this token has expired");
    expect(await door.watch(rented.token, door.fresh())).toBe("the time of this token is over");
    expect(await door.watch(taken.token, door.fresh())).toBe("this token was revoked");
  });

  it("is bound to the first address or device, strictly or for the price of a use", async () => {
    await using door = await open();
    const strict = await door.create({ bind: { to: "address", how: "strict" } });
    expect(await door.watch(strict.token, door.fresh({ address: "192.0.2.1" }))).toBe("in");
    expect(await door.watch(strict.token, door.fresh({ address: "192.0.2.2" }))).toBe("this token is bound to another address");
    expect(await door.watch(strict.token, door.fresh({ address: "192.0.2.1" }))).toBe("in");
    expect(await door.uses(strict.record.id)).toBe(2);
    const soft = await door.create({ bind: { to: "device", how: "soft" }, uses: 2 });
    expect(await door.watch(soft.token, door.fresh({ headers: firefox }))).toBe("in");
    expect(await door.watch(soft.token, door.fresh({ headers: safari, address: "192.0.2.9" }))).toBe("in");
    expect(await door.watch(soft.token, door.fresh({ headers: firefox }))).toBe(spent);
    expect((await door.tokens.get(soft.record.id))?.used).toBe(2);
    // Of two devices that come first at once one is bound, and the other has paid nothing.
    const race = await door.create({ bind: { to: "device", how: "strict" } });
    const both = await Promise.all([firefox, safari].map((headers) => door.watch(race.token, door.fresh({ headers }))));
    expect(both.toSorted()).toEqual(["in", "this token is bound to another device"]);
    expect(await door.uses(race.record.id)).toBe(1);
  });

  it("lets who comes back in without another use, for a while, once for each time", async () => {
    await using door = await open({ grace: "10s" });
    const { token, record } = await door.create({ uses: 1 });
    const mine = door.fresh({ headers: firefox });
    const first = await door.view(token, mine);
    await door.leave(first);
    expect(await door.watch(token, door.fresh({ headers: safari }))).toBe(spent);
    // The same session from another address, as a phone that leaves the house.
    const again = await door.view(token, { ...mine, address: "192.0.2.4" });
    expect([again.answer, await door.watch(token, door.fresh({ headers: firefox }))]).toEqual(["in", spent]);
    await door.leave(again);
    // Without a session's token it is known by its device and address.
    expect(await door.watch(token, { headers: firefox, address: "192.0.2.4" })).toBe("in");
    expect(await door.watch(token, door.fresh({ headers: firefox, address: "192.0.2.4" }))).toBe(spent);
    expect(await door.uses(record.id)).toBe(1);
    const late = await door.create({ uses: 1, graceMs: 1_000 });
    await door.leave(await door.view(late.token, mine));
    await door.bench.clock.advance(2_000);
    expect(await door.watch(late.token, mine)).toBe(spent);
  });

  it("knows who watched when its options have changed", async () => {
    await using door = await open();
    const { token } = await door.create({ uses: 1 });
    const mine = door.fresh();
    const first = await door.view(token, mine);
    await door.scene.apply(viewTokens({ grace: "20s" }));
    await door.leave(first);
    expect([await door.watch(token, door.fresh({ address: "192.0.2.3" })), await door.watch(token, mine)]).toEqual([spent, "in"]);
  });

  it.each<[object, string]>([
    [{ grace: "soon" }, 'viewTokens.grace must be milliseconds, or a text such as "30s"'],
    [{ keys: { a: "short" } }, "viewTokens.keys.a must be keys by name"],
    [{ token: "x" }, 'viewTokens has no option "token"'],
  ])("refuses the options %j", (options, words) => {
    expect(() => viewTokens(options as ViewTokensOptions)).toThrow(words);
  });
});
