import { describe, expect, it } from "vitest";
import { settle } from "../../test/support/fake-clock.ts";
import { policyScene } from "../../test/support/policy-scene.ts";
import { videoTrack } from "../../test/support/tiny-format.ts";
import { deny } from "../base/decision.ts";
import type { AccessRequest, Admission } from "../sessions/access-request.ts";
import type { TokenSpec } from "../store/token-book.ts";
import type { StreamWriter } from "../streams/stream.ts";
import { pushTokens, type PushTokensOptions } from "./push-tokens.ts";

async function leave(admission: Admission<StreamWriter>): Promise<void> {
  await admission.value.close({ code: "CLEAN_REMOTE_CLOSE", text: "closed" });
  admission[Symbol.dispose]();
}

async function open(options: PushTokensOptions = {}) {
  const scene = await policyScene();
  await scene.apply(pushTokens(options));
  const { bench, store } = scene;
  const push = async (name: string, part: Partial<AccessRequest> = {}): Promise<Admission<StreamWriter>> => {
    const admission = await bench.gate.publish(bench.push(name, { password: "", ...part }));
    admission.value.describe([videoTrack()]);
    return admission;
  };
  return {
    scene,
    bench,
    tokens: store.tokens,
    push,
    create: (spec: Partial<TokenSpec> = {}) => store.tokens.create({ kind: "push", stream: "live", ...spec }),
    uses: async (id: string) => (await store.tokens.get(id))?.used,
    refusal: async (name: string, part: Partial<AccessRequest> = {}): Promise<string> => {
      try {
        await leave(await push(name, part));
        return "in";
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    },
    [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose](),
  };
}

const unknown = "this is no push token that is known here";

describe("pushTokens", () => {
  it("goes on under the token's stream, and refuses its name, unknown tokens and tokens of viewers", async () => {
    await using door = await open();
    const { token, record } = await door.create();
    const { token: viewing } = await door.tokens.create({ kind: "view", stream: "live" });
    const running = await door.push(token);
    expect(running.value.stream.name).toBe("live");
    expect(door.bench.sessions.get(running.sessionId)?.tags).toEqual([`token:${record.id}`]);
    await leave(running);
    for (const name of ["live", "LIVE", "live?x=1", "live+a", "nothing", token.slice(0, -1), `${token}a`, viewing, record.id, record.hint])
      expect([name, await door.refusal(name)]).toEqual([name, unknown]);
  });

  it("leaves other streams alone when it is for some", async () => {
    await using door = await open({ streams: ["live"] });
    door.bench.streams["open"] = { source: "push://" };
    expect([await door.refusal("open"), await door.refusal("live"), await door.refusal("live+a")]).toEqual(["in", unknown, unknown]);
  });

  it("writes what the token says into its template", async () => {
    await using door = await open();
    const named = async (spec: Partial<TokenSpec>): Promise<string> => {
      using running = await door.push((await door.create(spec)).token);
      return running.value.stream.name;
    };
    expect(await named({ stream: "live+$name", label: "Ann's camera" })).toBe("live+Ann's camera");
    expect(await named({ stream: "live+$name", label: "x", metadata: { name: "from-metadata" } })).toBe("live+from-metadata");
    expect(await named({ stream: "live+$name", label: "$id$&" })).toBe("live+$id$&");
    const { token, record } = await door.create({ stream: "live+$name" });
    using running = await door.push(token);
    expect(running.value.stream.name).toBe(`live+${record.id}`);
  });

  it("holds from when, until when, from where and over what it says", async () => {
    await using door = await open();
    const now = door.bench.clock.now();
    const later = (await door.create({ notBefore: now + 10_000 })).token;
    const brief = (await door.create({ expiresAt: now + 5_000 })).token;
    const home = (await door.create({ addresses: ["203.0.113.0/24"] })).token;
    const srt = (await door.create({ protocols: ["SRT"] })).token;
    expect(await door.refusal(later)).toBe("this token does not hold yet");
    expect(await door.refusal(brief)).toBe("in");
    expect([await door.refusal(home), await door.refusal(home, { address: "203.0.113.9" })]).toEqual([
      "this token is not for this address",
      "in",
    ]);
    expect(await door.refusal(srt)).toBe("this token is not for RTMP");
    await door.bench.clock.advance(10_000);
    expect([await door.refusal(later), await door.refusal(brief)]).toEqual(["in", "this token has expired"]);
  });

  it("counts uses, and gives one back that led to nothing", async () => {
    await using door = await open();
    const { token, record } = await door.create({ uses: 2 });
    using _no = door.bench.triggers.on("STREAM_PUSH", () => deny("not today"), { onFail: deny("not today") });
    expect(await door.refusal(token)).toBe("not today");
    await expect.poll(() => door.uses(record.id)).toBe(0);
    _no[Symbol.dispose]();
    // All come at once: one gets the stream, and only that one has cost a use.
    const all = await Promise.allSettled(Array.from({ length: 5 }, () => door.push(token)));
    const inside = all.filter((one) => one.status === "fulfilled");
    expect(inside).toHaveLength(1);
    await expect.poll(() => door.uses(record.id)).toBe(1);
    for (const { value } of inside) await leave(value);
    expect(await door.refusal(token)).toBe("in");
    expect(await door.refusal(token)).toBe("this token has no uses left");
    expect(await door.uses(record.id)).toBe(2);
  });

  it("costs nobody a use when it is only tried", async () => {
    await using door = await open();
    const { token, record } = await door.create({ uses: 1 });
    const payload = { url: "rtmp://h/live/x", host: "127.0.0.1", stream: token, asked: token, query: {}, headers: {}, cookies: {} };
    const tried = await door.bench.triggers.rehearse("PUSH_REWRITE", { ...payload, recheck: false });
    expect(tried.decision).toMatchObject({ kind: "rewrite", to: "live" });
    expect(await door.uses(record.id)).toBe(0);
  });

  it.each(["refuse", "take-over", "backup"] as const)(
    "meets a second publisher with %s, as the token or the policy says",
    async (whenTaken) => {
      await using door = await open(whenTaken === "backup" ? { whenTaken } : {});
      const { token, record } = await door.create(whenTaken === "backup" ? {} : { whenTaken });
      const first = await door.push(token);
      let second: Admission<StreamWriter> | undefined;
      const coming = door.push(token).then(
        (admission) => void (second = admission),
        (error: Error) => error.message,
      );
      if (whenTaken === "refuse") {
        expect(await coming).toBe("Another publisher already pushes to this stream; stop it first.");
        await expect.poll(() => door.uses(record.id)).toBe(1);
        return;
      }
      if (whenTaken === "backup") {
        await expect.poll(() => door.uses(record.id)).toBe(2);
        await settle();
        expect([second, first.signal.aborted]).toEqual([undefined, false]);
        await first.value.close({ code: "CLEAN_REMOTE_CLOSE", text: "closed" });
        first[Symbol.dispose]();
      }
      await coming;
      expect(second?.value.stream.name).toBe("live");
      if (whenTaken === "take-over") expect(first.signal.reason).toMatchObject({ code: "access.taken" });
      expect(second?.signal.aborted).toBe(false);
    },
  );

  it("ends the push at once when the token is revoked, and who waits as its backup", async () => {
    await using door = await open();
    const { token, record } = await door.create({ whenTaken: "backup", uses: 9 });
    const other = await door.push((await door.create({ stream: "live+other" })).token);
    const running = await door.push(token);
    const waiting = door.push(token).then(
      () => "in",
      (error: Error) => error.message,
    );
    await expect.poll(() => door.uses(record.id)).toBe(2);
    await settle();
    expect(await door.tokens.revoke(record.id, door.bench.clock.now())).toBe(true);
    expect(running.signal.reason).toMatchObject({ message: "the push token was revoked" });
    expect(await waiting).toBe("the push token was revoked");
    expect(other.signal.aborted).toBe(false);
    expect(await door.refusal(token)).toBe("this token was revoked");
  });

  it("ends the push when the token expires, also when the policy has changed meanwhile", async () => {
    await using door = await open();
    const { clock } = door.bench;
    const one = await door.create({ stream: "live+1", expiresAt: clock.now() + 20_000 });
    const two = await door.create({ stream: "live+2", expiresAt: clock.now() + 40_000 });
    const [first, second] = [await door.push(one.token), await door.push(two.token)];
    await clock.advance(19_000);
    expect(first.signal.aborted).toBe(false);
    await clock.advance(2_000);
    expect(first.signal.reason).toMatchObject({ message: "the push token has expired" });
    await door.scene.apply(pushTokens({ whenTaken: "take-over" }));
    await clock.advance(18_000);
    expect(second.signal.aborted).toBe(false);
    await clock.advance(2_000);
    expect(second.signal.reason).toMatchObject({ message: "the push token has expired" });
  });

  it("shows tokens in no log line and in no decision", async () => {
    await using door = await open();
    const { token, record } = await door.create({ uses: 1 });
    const { token: short } = await door.create({ short: true, protocols: ["SRT"] });
    expect(short.length).toBeLessThanOrEqual(24);
    for (const name of [token, token, short, "k".repeat(32)]) await door.refusal(name);
    const shown = [...door.bench.logged, JSON.stringify(door.bench.decisions.find({}))].join("\n");
    for (const secret of [token, short, "k".repeat(32)]) expect(shown).not.toContain(secret);
    expect(shown).toContain(record.id);
  });

  it.each<[object, string]>([
    [{ whenTaken: "maybe" }, 'pushTokens.whenTaken must be "refuse", "take-over" or "backup"'],
    [{ stream: "live" }, 'pushTokens has no option "stream"'],
    [{ streams: "live" }, "pushTokens.streams must be a list of stream names and patterns"],
  ])("refuses the options %j", (options, words) => {
    expect(() => pushTokens(options as PushTokensOptions)).toThrow(words);
  });
});
