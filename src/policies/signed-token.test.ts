import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { policyScene } from "../../test/support/policy-scene.ts";
import { streamName } from "../base/stream-name.ts";
import type { TokenBook, TokenSpec } from "../store/token-book.ts";
import { readSigned, signToken } from "./signed-token.ts";
import { signingKeys } from "./signed-url.ts";
import { createSigned } from "./view-token-reader.ts";
import { viewTokens } from "./view-tokens.ts";

const secrets = { new: "the-new-secret-of-16", old: "the-old-secret-of-16" };
const keys = signingKeys(secrets);
const [[newName, newKey] = []] = keys;
if (newName === undefined || !newKey) throw new Error("no key");
const sign = (claims: Parameters<typeof signToken>[0]): string => signToken(claims, newName, newKey);

describe("a signed token", () => {
  it("says what was signed, and is what is left of it where names of streams stand", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(..."abcxyz0189+_.-*"), minLength: 1, maxLength: 24 }),
        fc.option(fc.integer({ min: 1, max: 2 ** 32 - 1 }), { nil: undefined }),
        fc.boolean(),
        (stream, seconds, limited) => {
          const claims = { id: "0mhd3k2a1x9f0q", stream, limited, ...(seconds !== undefined && { expiresAt: seconds * 1000 }) };
          const token = sign(claims);
          expect(token.length).toBeLessThanOrEqual(100);
          expect(streamName(token)).toBe(token);
          expect(readSigned(token, keys)).toEqual(claims);
          expect(readSigned(token.toUpperCase(), keys)).toEqual(claims);
          expect(readSigned(token, signingKeys({ old: secrets.old }))).toBeUndefined();
        },
      ),
      { numRuns: 200 },
    );
  });

  it("is none when a letter is another, is missing or is too many, and no other text is one", () => {
    const token = sign({ id: "0mhd3k2a1x9f0q", stream: "live", limited: false, expiresAt: 1_800_000_000_000 });
    for (let at = 0; at < token.length; at++) {
      const bent = `${token.slice(0, at)}${token[at] === "a" ? "b" : "a"}${token.slice(at + 1)}`;
      expect([at, readSigned(bent, keys)]).toEqual([at, undefined]);
      expect([at, readSigned(token.slice(0, at), keys)]).toEqual([at, undefined]);
    }
    expect(readSigned(`${token}a`, keys)).toBeUndefined();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 120 }),
          fc.string({ unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz234567"), maxLength: 120 }),
        ),
        (text) => {
          expect(readSigned(text, keys)).toBeUndefined();
        },
      ),
      { numRuns: 500 },
    );
  });

  it("is refused to a stream whose name is too long", () => {
    expect(() => sign({ id: "0mhd3k2a1x9f0q", stream: "s".repeat(25), limited: false })).toThrow(
      /too long for a signed token: at most 24 bytes/,
    );
  });
});

/** A book that tells what was asked of it. */
function counted(book: TokenBook): TokenBook & { readonly asked: string[] } {
  const asked: string[] = [];
  const note = (name: string, id: unknown): void => void asked.push(`${name} ${String(id)}`);
  return {
    ...book,
    asked,
    find: (kind, text) => (note("find", text), book.find(kind, text)),
    get: (id) => (note("get", id), book.get(id)),
    use: (id, now) => (note("use", id), book.use(id, now)),
  };
}

describe("signed tokens at the door", () => {
  async function open() {
    const scene = await policyScene();
    scene.bench.live("concert");
    scene.bench.live("show+a");
    const book = counted(scene.store.tokens);
    const { start, ...policy } = viewTokens({ keys: secrets });
    await scene.apply({ ...policy, start: (context) => start({ ...context, tokens: book }) });
    let viewer = 0;
    return {
      scene,
      book,
      make: (spec: Partial<TokenSpec> = {}) => createSigned(scene.store.tokens, { kind: "view", stream: "concert", ...spec }, keys),
      watch: (name: string, query: Record<string, string> = {}) =>
        scene.view(name, { query: { tkn: `somebody-number-${++viewer}`, ...query } }),
      [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose](),
    };
  }

  it("let in without a look into the database, until they expire or are revoked", async () => {
    await using door = await open();
    const { clock } = door.scene.bench;
    const brief = await door.make({ expiresAt: clock.now() + 20_300 });
    const free = await door.make();
    const pattern = await door.make({ stream: "show+" });
    const [one, two] = [await door.watch(brief.token), await door.watch(free.token.toUpperCase())];
    const three = await door.watch("show+a", { tkn: pattern.token });
    expect([one.answer, two.answer, three.answer]).toEqual(["in", "in", "in"]);
    expect(door.book.asked.filter((call) => !call.startsWith("find") || call.includes(free.token))).toEqual([]);
    expect(one.admission?.signal.aborted).toBe(false);
    await clock.advance(22_000);
    expect(one.admission?.signal.aborted).toBe(true);
    expect((await door.watch(brief.token)).answer).toBe("this token has expired");
    await door.scene.store.tokens.revoke(free.record.id, clock.now());
    await expect.poll(() => two.admission?.signal.aborted).toBe(true);
    expect((await door.watch(free.token)).answer).toBe("this token was revoked");
    // Another run knows it, too.
    await door.scene.apply(viewTokens({ keys: secrets, grace: "1s" }));
    expect((await door.watch(free.token)).answer).toBe("this token was revoked");
    expect(three.admission?.signal.aborted).toBe(false);
    expect((await door.watch("concert", { tkn: pattern.token })).answer).toBe("this token is for something else");
  });

  it("keep to the limits of their record", async () => {
    await using door = await open();
    const { token, record } = await door.make({ uses: 2, addresses: ["127.0.0.0/8"] });
    const answers = await Promise.all([1, 2, 3].map(() => door.watch(token)));
    expect(answers.map(({ answer }) => answer).toSorted()).toEqual(["in", "in", "this token has no uses left"]);
    expect((await door.scene.store.tokens.get(record.id))?.used).toBe(2);
  });

  it("hold no more when their key is gone", async () => {
    await using door = await open();
    const { token } = await door.make();
    await door.scene.apply(viewTokens({ keys: { other: "another-secret-of-16" } }));
    expect((await door.watch(token)).answer).toBe("This stream is offline.");
  });
});
