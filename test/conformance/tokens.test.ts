import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, generateSecret, SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startEncoder } from "../support/encoder.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";

const names = ["PUSH_REWRITE", "STREAM_PUSH", "LIVE_TRACK_LIST", "STREAM_UNLOAD", "USER_NEW"] as const;

let scene: MistScene;
let jwk: Record<string, unknown>;
let sign: (claims: Record<string, unknown>) => Promise<string>;

const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3_600;

beforeAll(async () => {
  scene = await startMistScene(names, {
    streams: {
      live: { source: "push://" },
      // Nobody can push by its name: MistServer's web interface writes this for "stream key only".
      keyed: { source: "push://invalid,host" },
      strict: { source: "push://", requireToken: true },
    },
  });
  const secret = await generateSecret("HS256", { extractable: true });
  jwk = { ...(await exportJWK(secret)), kid: "site", alg: "HS256" };
  sign = (claims) => new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "site" }).sign(secret);
}, 60_000);
afterAll(() => scene?.[Symbol.asyncDispose]());
beforeEach(async () => {
  await scene.reset();
  scene.mark();
  await scene.sluice.api({ jwks: [jwk], streamkeys: {} });
});

/** Everything that the server has printed: no key and no token may be in it. */
const printed = (): string => scene.sluice.child.stdout() + scene.sluice.child.stderr();

/** Streams that tests push to now: their tracks may be told more than once. */
const running = new Set<string>();

/** A real encoder that pushes; resolves when the stream has its tracks, or with what the encoder was told. */
async function push(path: string) {
  const before = new Set(scene.asked.calls);
  const fits = (call: (typeof scene.asked.calls)[number]): boolean =>
    !before.has(call) && (call.lines[1] ?? "") !== "" && !running.has(call.lines[0] ?? "");
  const encoder = startEncoder(scene.sluice.rtmp(`live/${path}`), { seconds: 60 });
  const found = await Promise.race([
    scene.asked.called("LIVE_TRACK_LIST", fits).then(({ lines }) => ({ stream: lines[0] ?? "", told: "" })),
    encoder.exited.then(() => ({ stream: "", told: encoder.stderr() })),
  ]);
  running.add(found.stream);
  const gone = () => scene.asked.called("STREAM_UNLOAD", (call) => !before.has(call) && call.lines[0] === found.stream);
  return {
    ...found,
    encoder,
    gone,
    [Symbol.asyncDispose]: async () => {
      await encoder[Symbol.asyncDispose]();
      if (found.stream !== "") await gone();
      running.delete(found.stream);
    },
  };
}

describe("a stream key", () => {
  it("bypasses PUSH_REWRITE, STREAM_PUSH and the address rule, as in MistServer; streams that are not configured too", async () => {
    scene.says.PUSH_REWRITE = () => "";
    scene.says.STREAM_PUSH = () => "false";
    expect(await scene.sluice.api({ streamkey_add: { "Kq7-Xy9": "keyed", "Kq7-New": "unheard+of" } })).toMatchObject({
      streamkey_add: { added: ["Kq7-Xy9", "Kq7-New"] },
    });
    {
      await using pushed = await push("Kq7-Xy9");
      expect(pushed.stream).toBe("keyed");
      expect((await scene.sluice.api({ active_streams: true }))["active_streams"]).toContain("keyed");
    }
    {
      await using pushed = await push("Kq7-New?x=1");
      expect(pushed.stream).toBe("unheard+of");
    }
    expect(scene.since("PUSH_REWRITE").concat(scene.since("STREAM_PUSH"))).toEqual([]);
    await using refused = await push("keyed");
    expect(refused.told).toMatch(/not allowed/);
    expect(printed()).not.toMatch(/kq7/i);
  });

  it("that nobody knows is asked about like a name, and refused", async () => {
    scene.says.PUSH_REWRITE = () => "";
    await using pushed = await push("Kq7-Wrong");
    expect(pushed.told).toMatch(/not allowed/);
    expect(scene.since("PUSH_REWRITE")[0]?.lines[2]).toBe("Kq7-Wrong");
    expect(printed()).not.toMatch(/kq7/i);
  });

  it("that is taken away ends the push that came with it (MistServer: it goes on)", async () => {
    await scene.sluice.api({ streamkey_add: { "Kq7-Xy9": "live+gone", "Kq7-Stays": "live+stays" } });
    await using other = await push("Kq7-Stays");
    await using pushed = await push("Kq7-Xy9");
    expect(await scene.sluice.api({ streamkey_del: ["Kq7-Xy9"] })).toMatchObject({ streamkey_del: { deleted: ["Kq7-Xy9"] } });
    expect(await pushed.encoder.exited).not.toBe(0);
    expect((await pushed.gone()).lines[0]).toBe("live+gone");
    expect(other.encoder.process.exitCode).toBeNull();
    await using again = await push("Kq7-Xy9");
    expect(again.told).toMatch(/no stream of this name/);
  });
});

describe("a JWT", () => {
  it("in the place of the name is the stream of its `sub`, without questions", async () => {
    scene.says.PUSH_REWRITE = () => "";
    scene.says.STREAM_PUSH = () => "false";
    const token = await sign({ sub: "keyed", exp: inAnHour() });
    {
      await using pushed = await push(token);
      expect(pushed.stream).toBe("keyed");
    }
    expect(scene.since("PUSH_REWRITE").concat(scene.since("STREAM_PUSH"))).toEqual([]);
    expect(printed()).not.toContain(token.slice(-20));
  });

  it("that does not hold never becomes the name of a stream", async () => {
    await using pushed = await push(await sign({ sub: "live", exp: inAnHour() - 7_200 }));
    expect(pushed.told).toMatch(/The token has expired/);
    expect(scene.since("LIVE_TRACK_LIST")).toEqual([]);
  });

  it("whose key is taken away ends the push that came with it (MistServer: it goes on)", async () => {
    await using pushed = await push(await sign({ sub: "live+key" }));
    expect(await scene.sluice.api({ deletejwks: "site" })).toMatchObject({ deletejwks: [{ kid: "site" }] });
    expect(await pushed.encoder.exited).not.toBe(0);
    expect((await pushed.gone()).lines[0]).toBe("live+key");
  });

  it("of a viewer goes past USER_NEW, as in MistServer; one that does not hold is asked about", async () => {
    scene.says.USER_NEW = () => "false";
    await using pushed = await push("live");
    expect(pushed.stream).toBe("live");
    const status = async (path: string, headers: Record<string, string> = {}): Promise<number> => {
      const controller = new AbortController();
      const response = await fetch(scene.sluice.http(path), { headers, signal: controller.signal });
      controller.abort();
      return response.status;
    };
    expect(await status(`live.flv?jwt=${await sign({ sub: "live", exp: inAnHour() })}`)).toBe(200);
    expect(await status("live.flv", { authorization: `Bearer ${await sign({ sub: "l*", n: 2 })}` })).toBe(200);
    expect(await status(`${await sign({ sub: "live", n: 3 })}.flv`)).toBe(200);
    expect(scene.since("USER_NEW")).toEqual([]);
    expect(await status(`live.flv?jwt=${await sign({ sub: "other" })}`)).toBe(403);
    expect(scene.since("USER_NEW")).toHaveLength(1);
  });

  it("can be required (MistServer: without a USER_NEW handler everybody may watch)", async () => {
    scene.says.USER_NEW = () => "true";
    await using without = await push("strict");
    expect(without.told).toMatch(/This stream needs a token/);
    await using pushed = await push(await sign({ sub: "strict", exp: inAnHour() }));
    expect(pushed.stream).toBe("strict");
    const answer = async (query: string): Promise<string> => {
      const response = await fetch(scene.sluice.http(`hls/strict/index.m3u8${query}`));
      return `${response.status} ${response.status === 200 ? "" : await response.text()}`;
    };
    const now = inAnHour() - 3_600;
    expect(await answer("")).toMatch(/^403 .*This stream needs a token/);
    expect(await answer("?tkn=abc")).toMatch(/^403 .*This stream needs a token/);
    expect(await answer(`?jwt=${await sign({ sub: "strict", exp: now - 1 })}`)).toMatch(/^403 .*The token has expired/);
    expect(await answer(`?jwt=${await sign({ sub: "live" })}`)).toMatch(/^403 .*The token is for another stream/);
    expect(await answer(`?jwt=${await sign({ sub: "strict", ipa: "203.0.113.7" })}`)).toMatch(/^403 .*The token is for another address/);
    const forged = `${(await sign({ sub: "strict" })).slice(0, -4)}AAAA`;
    expect(await answer(`?jwt=${forged}`)).toMatch(/^403 .*not signed by a key that counts here/);
    expect(await answer(`?jwt=${await sign({ sub: "strict", exp: inAnHour() })}`)).toMatch(/^200 /);
    expect(scene.since("USER_NEW")).toEqual([]);
  });
});

describe("the API", () => {
  it("answers with MistServer's shapes, and masks secrets (MistServer shows them)", async () => {
    const all = { input: true, output: true, admin: false, stream: "*" };
    const { k: secret, ...rest } = jwk;
    const shown = { ...rest, k: expect.stringMatching(/^\(hidden-[0-9a-f]{8}\)$/) as string };
    expect(await scene.sluice.api({ jwks: true })).toMatchObject({ jwks: [[shown, all]] });
    expect(await scene.sluice.api({ addjwks: [["https://127.0.0.1:1/jwks", { output: false }]] })).toMatchObject({
      addjwks: [["https://127.0.0.1:1/jwks", { ...all, output: false }]],
    });
    const listed = (await scene.sluice.api({ jwks: true }))["jwks"];
    expect(await scene.sluice.api({ jwks: listed })).toMatchObject({ jwks: listed });
    expect(await scene.sluice.api({ deletejwks: ["https://127.0.0.1:1/jwks"] })).toMatchObject({
      deletejwks: ["https://127.0.0.1:1/jwks"],
    });
    expect(await scene.sluice.api({ streamkeys: { a: "live" } })).toMatchObject({ streamkeys: { a: "live" } });
    expect(await scene.sluice.api({ streamkeys: true })).toMatchObject({ streamkeys: { a: "live" } });
    expect(printed()).not.toContain(secret);
  });

  it("takes keys by their address, and those that come later", async () => {
    const made = await Promise.all(
      ["1", "2"].map(async (kid) => {
        const { publicKey, privateKey } = await generateKeyPair("RS256");
        return {
          jwk: { ...(await exportJWK(publicKey)), kid },
          token: await new SignJWT({ sub: "live+rs" }).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey),
        };
      }),
    );
    let keys = [made[0]?.jwk];
    const server: Server = createServer((_, response) => void response.end(JSON.stringify({ keys }))).listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      await scene.sluice.api({ addjwks: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks` });
      {
        await using first = await push(made[0]?.token ?? "");
        expect(first.stream).toBe("live+rs");
      }
      keys = [made[0]?.jwk, made[1]?.jwk];
      // An unknown key id makes it look again, at most once in five seconds.
      const tries: string[] = [];
      for (const begun = Date.now(); Date.now() - begun < 20_000 && !tries.includes("live+rs"); ) {
        await using second = await push(made[1]?.token ?? "");
        tries.push(second.stream);
      }
      expect(tries.at(-1)).toBe("live+rs");
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
