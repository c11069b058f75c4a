import { describe, expect, it } from "vitest";
import { memoryStore } from "../../test/support/api-server.ts";
import { openConfiguration } from "./configuration.ts";
import { readConfiguration } from "./load.ts";

const jwk = { kty: "oct", k: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0" };
const secret = "c2VjcmV0";

function refusal(config: unknown): string {
  try {
    readConfiguration(config, "sluice.config.json");
    return "taken";
  } catch (error) {
    return String(error);
  }
}

describe("jwks", () => {
  it.each<[string, unknown]>([
    ["a JWK", jwk],
    ["a pair", [jwk, { input: false, stream: ["a", "b*"] }]],
    ["a set", { keys: [jwk] }],
    ["an address", "https://example.com/.well-known/openid-configuration"],
    ["an address with permissions", ["http://127.0.0.1/jwks", { admin: true }]],
  ])("takes %s", (_, entry) => {
    expect(readConfiguration({ jwks: [entry] }, "x").settings.jwks).toEqual([entry]);
    expect(readConfiguration({ config: {}, jwks: [entry] }, "x").settings.jwks).toEqual([entry]);
  });

  it.each<[string, unknown]>([
    ["no type", { k: jwk.k }],
    ["a permission that is none", [jwk, { ouput: false }]],
    ["a permission that is no switch", [jwk, { output: "no" }]],
    ["an address of a file", "file:///etc/keys"],
    ["an address with a password", "https://user:c2VjcmV0@example.com/"],
    ["three things", [jwk, {}, {}]],
  ])("refuses %s and shows nothing of it; in MistServer's shape it is left out", (_, entry) => {
    const words = refusal({ jwks: [jwk, entry] });
    expect(words).toMatch(/sluice\.config\.json: jwks\[1\] is wrong; it must be a JWK, /);
    expect(words).not.toContain(secret);
    const { settings, warnings } = readConfiguration({ config: {}, jwks: [jwk, entry] }, "x");
    expect(settings.jwks).toEqual([jwk]);
    expect(warnings).toEqual([expect.stringMatching(/^x: jwks\[1\] is not a JWK, .*; it is left out$/)]);
    expect(warnings.join("")).not.toContain(secret);
  });
});

describe("streamkeys", () => {
  it("are read in both shapes, also without MistServer's `config` beside them", () => {
    const streamkeys = { "Key-7": "live+a" };
    expect(readConfiguration({ streamkeys }, "x")).toMatchObject({ mist: undefined, settings: { streamkeys } });
    expect(readConfiguration({ config: {}, streamkeys }, "x").settings.streamkeys).toEqual(streamkeys);
  });

  it.each<[string, unknown]>([
    ["a key that is too long", { ["k".repeat(256)]: "live" }],
    ["a key with a question mark", { "secret-7?": "live" }],
    ["an empty key", { "": "live" }],
    ["a stream that is too long", { "secret-7": "s".repeat(128) }],
    ["a stream that is none", { "secret-7": "???" }],
    ["a stream that is no text", { "secret-7": 7 }],
    ["a list", ["secret-7"]],
  ])("refuse %s and show nothing of it", (_, streamkeys) => {
    const words = refusal({ streamkeys });
    expect(words).toMatch(/sluice\.config\.json: streamkeys is wrong; it must be an object with stream keys/);
    expect(words).not.toMatch(/secret-7|kkk/);
  });

  it("of MistServer that cannot be used are left out, and the rest is there", () => {
    const { settings, warnings } = readConfiguration({ config: {}, streamkeys: { "secret-7": "", good: "live" } }, "x");
    expect(settings.streamkeys).toEqual({ good: "live" });
    expect(warnings).toEqual(["x: streamkeys: a stream key stands for the name of a stream; one is left out"]);
  });

  it("that were changed through the API survive one by one beside those of the file, and are not in the log", async () => {
    const store = memoryStore();
    const lines: string[] = [];
    const log = { write: (_: string, text: string) => void lines.push(text) };
    const loaded = { ...readConfiguration({ streamkeys: { "file.key": "a", gone: "b" } }, "x"), file: "x", overrides: {} };
    const first = await openConfiguration(loaded, store, log);
    await first.change(() => ({ streamkeys: { "file.key": "a", "made.secret": "c" } }));
    await expect(first.change(({ streamkeys }) => ({ streamkeys: { ...streamkeys, "bad.secret": "" } }))).rejects.toThrow(
      "the change: streamkeys: a stream key stands for the name of a stream",
    );
    const next = { ...readConfiguration({ streamkeys: { "file.key": "a", gone: "b", later: "d" } }, "x"), file: "x", overrides: {} };
    const second = await openConfiguration(next, store, log);
    expect(second.settings.streamkeys).toEqual({ "file.key": "a", later: "d", "made.secret": "c" });
    const hidden = await second.reload(readConfiguration({ streamkeys: { gone: "elsewhere" } }, "x").values);
    expect([...lines, ...hidden].join("\n")).toMatch(/streamkeys/);
    expect([...lines, ...hidden].join("\n")).not.toMatch(/secret|gone/);
  });
});

describe("requireToken", () => {
  it("stands for a stream, or for all", async () => {
    const config = { requireToken: true, streams: { free: { source: "push://", requireToken: false }, live: "push://" } };
    const loaded = { ...readConfiguration(config, "x"), file: undefined, overrides: {} };
    const configuration = await openConfiguration(loaded, memoryStore(), { write: () => undefined });
    expect([configuration.requireToken, configuration.stream("free")?.requireToken, configuration.stream("live")?.requireToken]).toEqual([
      true,
      false,
      undefined,
    ]);
    expect(refusal({ requireToken: "yes" })).toMatch(/requireToken is "yes"; it must be true or false/);
  });
});
