import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startApi, type TestApi } from "../../../test/support/api-server.ts";
import { streamKeyRoutes } from "../rest/stream-keys.ts";

const all = { input: true, output: true, admin: false, stream: "*" };
const k = Buffer.from("a secret of thirty-two bytes 1234").toString("base64url");
const mask = expect.stringMatching(/^\(hidden-[0-9a-f]{8}\)$/) as string;
const ec = {
  kty: "EC",
  crv: "P-256",
  kid: "e",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
};

let api: TestApi;
beforeEach(async () => {
  api = await startApi();
});
afterEach(() => api[Symbol.asyncDispose]());

const call = async (command: Record<string, unknown>): Promise<Record<string, unknown>> => await api.call(command);
const stored = (): unknown => api.configuration.settings.jwks;

describe("jwks", () => {
  it("lists, replaces, adds and deletes, with the permissions in force", async () => {
    expect(await call({ jwks: true })).toMatchObject({ jwks: [] });
    expect(await call({ jwks: [ec, ["https://example.com/jwks", { output: false }], "https://example.org/"] })).toMatchObject({
      jwks: [
        [ec, all],
        ["https://example.com/jwks", { ...all, output: false }],
        ["https://example.org/", all],
      ],
    });
    expect(stored()).toEqual([ec, ["https://example.com/jwks", { output: false }], "https://example.org/"]);
    expect(await call({ addjwks: { kty: "oct", k, kid: "h" } })).toMatchObject({ addjwks: [[{ kty: "oct", k: mask, kid: "h" }, all]] });
    expect(((await call({ jwks: true }))["jwks"] as unknown[]).length).toBe(4);
    expect(await call({ deletejwks: "h" })).toMatchObject({ deletejwks: [{ kid: "h" }] });
    expect(await call({ deletejwks: ["https://example.org/", "nobody"] })).toMatchObject({ deletejwks: ["https://example.org/"] });
    expect(await call({ deletejwks: { ...ec, kid: undefined } })).toMatchObject({ deletejwks: [{ kty: "EC", x: ec.x }] });
    expect(stored()).toEqual([["https://example.com/jwks", { output: false }]]);
    expect(await call({ jwks: [] })).toMatchObject({ jwks: [] });
    expect(stored()).toEqual([]);
  });

  it("takes one key, a pair, a set and an address in the place of a list", async () => {
    for (const [value, count] of [
      [ec, 1],
      [[ec, { admin: true }], 1],
      [{ keys: [ec, { kty: "oct", k }] }, 2],
      ["https://example.com/", 1],
    ] as const) {
      await call({ jwks: value });
      expect((stored() as unknown[]).length).toBe(count);
    }
    await call({ jwks: [[{ keys: [ec] }, { stream: ["a"] }]] });
    expect(stored()).toEqual([[ec, { stream: ["a"] }]]);
  });

  it("a key with the same id or the same material takes the place of the old one", async () => {
    await call({ jwks: [ec, { kty: "oct", k, kid: "h" }] });
    await call({ addjwks: [[ec, { output: false }]] });
    await call({ addjwks: [{ kty: "oct", k: "bmV3IG5ldyBuZXc", kid: "h" }] });
    await call({ addjwks: [{ kty: "oct", k: "bmV3IG5ldyBuZXc", kid: "other" }] });
    expect(stored()).toEqual([[ec, { output: false }], { kty: "oct", k: "bmV3IG5ldyBuZXc", kid: "other" }]);
  });

  it("keeps and shows no private part; a secret is masked, and the mask may be written back", async () => {
    await call({
      jwks: [
        { ...ec, d: "cHJpdmF0ZQ" },
        { kty: "oct", k, kid: "h" },
      ],
    });
    expect(JSON.stringify(stored())).not.toContain("cHJpdmF0ZQ");
    const shown = (await call({ jwks: true }))["jwks"] as unknown[];
    expect(JSON.stringify(shown)).not.toContain(k);
    expect((await call({ jwks: shown }))["error"]).toBeUndefined();
    expect(stored()).toEqual([
      [ec, all],
      [{ kty: "oct", k, kid: "h" }, all],
    ]);
    const { error } = await call({ addjwks: [{ kty: "oct", k: "(hidden-00000000)", kid: "x" }] });
    expect(error).toMatch(/stands for a key that is not here/);
    expect(api.lines.map(({ message }) => message).join("\n")).not.toContain(k);
  });

  it("says what cannot be used, and takes the rest", async () => {
    const { jwks, error } = await call({ jwks: [{ kty: "EC", crv: "P-256", x: "AAAA", y: "AAAA" }, [ec, { ouput: false }], ec] });
    expect(jwks).toEqual([[ec, all]]);
    expect(String(error).split("\n")).toEqual([
      expect.stringMatching(/^jwks: key 1 is left out: it cannot be read/),
      expect.stringMatching(/^jwks: key 2 is left out: it must be a JWK, /),
    ]);
    expect((await call({ addjwks: "nonsense" }))["error"]).toMatch(/no key/);
  });
});

describe("stream keys", () => {
  it("are listed, replaced, added and deleted as in MistServer", async () => {
    expect(await call({ streamkeys: true })).toMatchObject({ streamkeys: {} });
    expect(await call({ streamkeys: { abc: "live", def: "live+b" } })).toMatchObject({ streamkeys: { abc: "live", def: "live+b" } });
    expect(await call({ streamkey_add: { abc: "live", ghi: "other" } })).toMatchObject({ streamkey_add: { added: ["ghi"] } });
    expect(await call({ streamkey_del: "abc" })).toMatchObject({ streamkey_del: { deleted: ["abc"] } });
    expect(await call({ streamkey_del: { def: "elsewhere", ghi: "other" } })).toMatchObject({ streamkey_del: { deleted: ["ghi"] } });
    expect(await call({ streamkeys: true, streamkey_del: ["def", "nobody"], streamkey_add: { new: "live" } })).toMatchObject({
      streamkeys: { new: "live" },
      streamkey_del: { deleted: ["def"] },
      streamkey_add: { added: ["new"] },
    });
    expect(api.lines.map(({ message }) => message).join("\n")).not.toMatch(/abc|def|ghi/);
  });

  it("that cannot be are told, without the key", async () => {
    expect(await call({ streamkey_add: ["x"] })).toMatchObject({ streamkey_add: { added: [], error: "streamkey_add must be an object" } });
    expect(await call({ streamkey_del: 7 })).toMatchObject({ streamkey_del: { error: "streamkey_del must be a string, object or array" } });
    expect(await call({ streamkey_add: { ["k".repeat(256)]: "live", good: "live", "secret-7": 7 } })).toMatchObject({
      streamkey_add: {
        added: ["good"],
        error:
          "stream key 1 is left out: a stream key has 1 to 255 bytes\nstream key 3 is left out: a stream key stands for the name of a stream",
      },
    });
    expect(await call({ streamkeys: { "secret-7": "", good: "live" } })).toMatchObject({
      streamkeys: { good: "live" },
      error: expect.any(String),
    });
    expect(api.lines.map(({ message }) => message).join("\n")).not.toMatch(/secret-7|kkk/);
  });

  it("over REST: made and shown once, listed masked, deleted by id", async () => {
    const [list, add, remove] = streamKeyRoutes(api.parts);
    const principal = { name: "local", kind: "local", scope: "admin" } as const;
    const input = (part: object) =>
      ({ params: undefined, query: {}, body: undefined, principal, header: () => undefined, ...part }) as never;
    const made = (await add?.run(input({ body: { stream: "live" } })))?.body as { id: string; key: string };
    expect(made).toEqual({ id: expect.stringMatching(/^[0-9a-f]{16}$/), key: expect.stringMatching(/^[a-z2-9]{24}$/), stream: "live" });
    expect(api.configuration.settings.streamkeys).toEqual({ [made.key]: "live" });
    await add?.run(input({ body: { stream: "other", key: "short" } }));
    expect((await list?.run(input({})))?.body).toEqual({
      keys: [
        { id: made.id, key: `${made.key.slice(0, 4)}...`, stream: "live" },
        { id: expect.any(String), key: "...", stream: "other" },
      ],
    });
    await expect(add?.run(input({ body: { stream: "x", key: "short" } }))).rejects.toMatchObject({ code: "api.conflict" });
    await expect(add?.run(input({ body: { stream: "???" } }))).rejects.toMatchObject({ code: "input.invalid" });
    await remove?.run(input({ params: { id: made.id } }));
    await expect(remove?.run(input({ params: { id: made.id } }))).rejects.toMatchObject({ code: "api.unknown" });
    expect(api.configuration.settings.streamkeys).toEqual({ short: "other" });
    expect(api.lines.map(({ message }) => message).join("\n")).not.toContain(made.key);
  });
});
