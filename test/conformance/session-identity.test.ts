import { randomBytes } from "node:crypto";
import { SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { publishSample } from "../support/rtmp-publisher.ts";
import { openRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { view } from "../support/viewer.ts";

/** What a viewer's request may differ in. */
type Client = {
  readonly stream?: string;
  readonly token?: string;
  readonly address?: string;
  readonly cookie?: string;
  readonly protocol?: "FLV" | "RTMP";
};

const key = randomBytes(32);
const jwt = (sub: string): Promise<string> =>
  new SignJWT({ sub: "*", account: sub, jti: randomBytes(4).toString("hex") })
    .setProtectedHeader({ alg: "HS256", kid: "site" })
    .setExpirationTime("5m")
    .sign(key);

/** Each part of an identity expression, by real requests: who is one viewer, and who is two. */
describe("sessionIdentity", () => {
  let sluice: Sluice;
  const open: (Disposable | AsyncDisposable)[] = [];

  beforeAll(async () => {
    const config = `
      import { allow, defineConfig } from "sluice";
      export default defineConfig({
        streams: { one: "push://", two: "push://" },
        jwks: [{ kty: "oct", kid: "site", alg: "HS256", k: "${key.toString("base64url")}" }],
        trustedproxy: ["127.0.0.1"],
        triggers: { USER_NEW: ({ token, recheck }) => (recheck || console.error("ASKED", token), allow({ user: token.split("-")[0] ?? "" })) },
      });`;
    sluice = await startSluice({ config });
    for (const name of ["one", "two"]) open.push(await publishSample(sluice.ports.rtmp, name));
    await vi.waitFor(
      async () => {
        const { active_streams: now } = (await sluice.api({ active_streams: ["status"] })) as { active_streams?: object };
        expect(now).toEqual({ one: ["Online"], two: ["Online"] });
      },
      { timeout: 30_000, interval: 100 },
    );
  }, 60_000);
  afterAll(async () => {
    for (const one of open) await (Symbol.dispose in one ? one[Symbol.dispose]() : one[Symbol.asyncDispose]());
    await sluice?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    await sluice.api({ stop_sessions: { "": "FLV" } });
    await sluice.api({ stop_sessions: { "": "RTMP" } });
  });

  const rest = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
    expect(response.status, path).toBe(200);
    return response.json();
  };

  async function watch({ stream = "one", token = "ann-1", address = "203.0.113.5", cookie, protocol = "FLV" }: Client): Promise<void> {
    if (protocol === "RTMP") {
      const { client, outcome } = await openRtmp(sluice.ports.rtmp, `${stream}?tkn=${token}`);
      open.push(client);
      expect(outcome.plays).toBe(true);
      return;
    }
    const headers = { "x-forwarded-for": address, ...(cookie !== undefined && { cookie }) };
    const viewer = await view(sluice.http(`${stream}.flv?tkn=${token}`), headers);
    open.push(viewer);
    expect([viewer.status, viewer.status === 200 ? "" : viewer.start().toString()]).toEqual([200, ""]);
  }

  /** How many sessions the two have, which watch at the same time. */
  async function sessionsOf(identity: string, first: Client, second: Client): Promise<number> {
    await rest("PATCH", "/config", { sessionIdentity: identity });
    await watch(first);
    await watch(second);
    const { items } = (await rest("GET", "/sessions?type=viewer&state=accepted")) as { items: unknown[] };
    return items.length;
  }

  const local = "127.0.0.1";
  it.each<[identity: string, same: [Client, Client], apart: [Client, Client]]>([
    ["stream", [{}, { token: "ben-1", address: "198.51.100.1" }], [{}, { stream: "two" }]],
    ["token", [{}, { stream: "two", address: "198.51.100.1" }], [{}, { token: "ann-2" }]],
    ["ip", [{}, { stream: "two", token: "ben-1" }], [{}, { address: "203.0.113.6" }]],
    ["ip/24", [{}, { address: "203.0.113.250", token: "ben-1" }], [{}, { address: "203.0.114.5" }]],
    [
      "ip/24/56",
      [{ address: "2001:db8:1:2::1" }, { address: "2001:db8:1:3::9" }],
      [{ address: "2001:db8:1:2::1" }, { address: "2001:db8:2::1" }],
    ],
    [
      "cookie:uid",
      [{ cookie: "uid=7" }, { cookie: "other=1; uid=7", token: "ben-1", address: "198.51.100.1" }],
      [{ cookie: "uid=7" }, { cookie: "uid=8" }],
    ],
    ["stream, user", [{}, { token: "ann-2", address: "198.51.100.1" }], [{}, { token: "ben-1" }]],
    ["protocol", [{ address: local }, { stream: "two", token: "ben-1" }], [{ address: local }, { address: local, protocol: "RTMP" }]],
    ["stream, token", [{ address: local }, { protocol: "RTMP" }], [{}, { token: "ann-2" }]],
  ])("%s: one viewer, or two", async (identity, same, apart) => {
    expect(await sessionsOf(identity, ...same)).toBe(1);
    await sluice.api({ stop_sessions: { "": "FLV" } });
    await sluice.api({ stop_sessions: { "": "RTMP" } });
    expect(await sessionsOf(identity, ...apart)).toBe(2);
  });

  it("claim:NAME of a token that holds: fresh tokens of one account are one viewer, and nobody can say it without a signature", async () => {
    const [one, again, other] = [await jwt("ann"), await jwt("ann"), await jwt("ben")];
    expect(await sessionsOf("stream, claim:account", { token: one }, { token: again, address: "198.51.100.1" })).toBe(1);
    await watch({ token: other });
    const { items } = (await rest("GET", "/sessions?type=viewer&state=accepted")) as { items: unknown[] };
    expect(items).toHaveLength(2);
    const [head = "", body = ""] = one.split(".");
    const forged = `${head}.${body}.${Buffer.alloc(32).toString("base64url")}`;
    await watch({ token: forged });
    expect(((await rest("GET", "/sessions?type=viewer&state=accepted")) as { items: unknown[] }).items).toHaveLength(3);
  });

  it("none: the mask counts again", async () => {
    expect(await sessionsOf("", {}, { address: "203.0.113.6" })).toBe(2);
  });
});
