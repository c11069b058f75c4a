import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { startTriggerServer } from "../support/trigger-server.ts";
import { get } from "../support/viewer.ts";

type Answer = { readonly status: number; readonly headers: Headers; readonly json: Record<string, unknown> };

/** What all resources of /api/v1 have in common, on a running server. */
describe("the resources of /api/v1", () => {
  let sluice: Sluice;
  beforeAll(async () => {
    const names = ["a", "b", "c", "d", "e"];
    sluice = await startSluice({
      config: {
        streams: Object.fromEntries(names.map((name) => [name, "push://"])),
        limits: { one: { by: "server", sessions: 10 }, two: { by: "stream", streams: ["a"], egress: 1_000_000 } },
        triggers: { USER_END: [{ handler: "http://127.0.0.1:1/", sync: false }] },
      },
    });
    for (const name of names) {
      expect((await ask("POST", "/tokens", { name: `token-${name}`, scope: "read" })).status).toBe(201);
      expect(
        (await ask("POST", "/accounts", { name: `account-${name}`, password: "a password of some length", scope: "read" })).status,
      ).toBe(201);
    }
  }, 30_000);
  afterAll(() => sluice?.[Symbol.asyncDispose]());

  async function ask(method: string, path: string, body?: object, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1${path}`, {
      method,
      headers: { ...(body && { "Content-Type": "application/json" }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>) };
  }

  it.each(["/streams", "/streams/a", "/sessions", "/triggers", "/limits", "/limits/one", "/tokens", "/accounts", "/config"])(
    "%s has an entity tag, and 304 for who knows it",
    async (path) => {
      const first = await ask("GET", path);
      const etag = first.headers.get("etag") ?? "";
      expect([first.status, etag]).toEqual([200, expect.stringMatching(/^"[^"]{8,}"$/)]);
      expect((await ask("GET", path, undefined, { "If-None-Match": etag })).status).toBe(304);
      expect((await ask("GET", path, undefined, { "If-None-Match": '"another"' })).status).toBe(200);
    },
  );

  it.each([
    ["/streams", "name"],
    ["/tokens", "id"],
    ["/accounts", "name"],
  ])("%s comes in pages, each entry once", async (path, key) => {
    const all = ((await ask("GET", path)).json["items"] as Record<string, unknown>[]).map((one) => one[key]);
    expect(all).toHaveLength(5);
    const seen: unknown[] = [];
    let pages = 0;
    for (let cursor: string | undefined = ""; cursor !== undefined; pages++) {
      const { json } = await ask("GET", `${path}?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...(json["items"] as Record<string, unknown>[]).map((one) => one[key]));
      cursor = json["next"] as string | undefined;
    }
    expect([seen, pages]).toEqual([all, 3]);
  });

  it.each([
    ["GET", "/streams/nosuch", undefined, 404],
    ["GET", "/sessions/nosuch", undefined, 404],
    ["GET", "/triggers/handlers/nosuch", undefined, 404],
    ["GET", "/limits/nosuch", undefined, 404],
    ["GET", "/tokens/nosuch", undefined, 404],
    ["GET", "/nosuch", undefined, 404],
    ["GET", "/streams?limit=many", undefined, 400],
    ["PUT", "/streams/f", { source: 5 }, 400],
    ["POST", "/sessions/stop", {}, 400],
    ["POST", "/triggers/handlers", { trigger: "USER_NEU", entry: {} }, 400],
    ["PUT", "/limits/three", { by: "server", sessions: -1 }, 400],
    ["POST", "/tokens", { name: "x", scope: "god" }, 400],
    ["PATCH", "/config", { rtmpPort: "x" }, 400],
  ])("%s %s %j is a problem document with status %d", async (method, path, body, status) => {
    const answer = await ask(method, path, body);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([status, "application/problem+json"]);
    expect(answer.json).toMatchObject({
      status,
      type: expect.stringMatching(/^urn:sluice:error:/),
      title: expect.any(String),
      detail: expect.any(String),
    });
  });

  it("are filtered: limits by name and state, tokens by kind, streams by prefix and state", async () => {
    const names = async (path: string, key = "name"): Promise<unknown[]> =>
      ((await ask("GET", path)).json["items"] as Record<string, unknown>[]).map((one) => one[key]);
    expect(await names("/limits?name=two")).toEqual(["two"]);
    expect(await names("/limits?closed=true")).toEqual([]);
    expect(await names("/tokens?kind=api")).toHaveLength(5);
    expect(await names("/streams?prefix=b")).toEqual(["b"]);
    expect(await names("/streams?state=ready")).toEqual([]);
  });
});

describe("a handler that is left alone", () => {
  it("is shown as such by /triggers, until it is asked as before", async () => {
    let up = false;
    await using handler = await startTriggerServer(() => (up ? "true" : { status: 500, body: "" }));
    const entry = { handler: handler.url, sync: true, breaker: { failures: 2, pauseMs: 1_000 } };
    await using sluice = await startSluice({ config: { config: { triggers: { CONN_OPEN: [entry] } }, streams: {} } });
    const state = async (): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${sluice.ports.api}/api/v1/triggers`);
      const { stats, handlers } = (await response.json()) as {
        stats: { CONN_OPEN?: { breakers?: readonly { handler: string; state: string }[] } };
        handlers: readonly { calls: { breaker?: { state: string } } }[];
      };
      const { breakers = [] } = stats.CONN_OPEN ?? {};
      return [breakers.map(({ handler: at, state: now }) => [at, now]), handlers.map(({ calls }) => calls.breaker?.state)];
    };
    const come = async (): Promise<number> => (await get(sluice.http("json_nosuch.js"), { Connection: "close" })).status;
    expect(await state()).toEqual([[], ["closed"]]);
    expect([await come(), await come(), await come()]).toEqual([403, 403, 403]);
    expect(handler.calls).toHaveLength(2);
    expect(await state()).toEqual([[[handler.url, "open"]], ["open"]]);
    up = true;
    await expect.poll(come, { timeout: 20_000, interval: 200 }).not.toBe(403);
    expect(await state()).toEqual([[], ["closed"]]);
  });
});
