import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { join, memoryStore, startApi, type TestApi } from "../../../test/support/api-server.ts";
import { allow, deny } from "../../base/decision.ts";
import { maskedSource } from "./masked-source.ts";

const json = { "Content-Type": "application/json" };
const get = (path: string, headers = {}) => ({ method: "GET", path: `/api/v1${path}`, headers });
const send = (method: string, path: string, body: unknown, headers = {}) => ({
  method,
  path: `/api/v1${path}`,
  headers: { ...json, ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});
const items = async (api: TestApi, path: string) => {
  const { status, json: answer } = await api.ask(get(path));
  expect([status, answer["error"]], path).toEqual([200, undefined]);
  return answer["items"] as Record<string, unknown>[];
};
const names = async (api: TestApi, path: string) => (await items(api, path)).map(({ name }) => name);

describe("/streams", () => {
  const config = { streams: { live: { source: "push://", tags: ["sport"] }, film: { source: "/media/film.mp4" } } };

  it("lists what is configured and what runs, filtered", async () => {
    await using api = await startApi({ config, streams: { live: { tracks: 1 }, "live+one": { state: "waiting" } } });
    expect(await items(api, "/streams")).toMatchObject([
      { name: "film", state: "offline", tracks: [], configuration: { source: "/media/film.mp4" } },
      {
        name: "live",
        state: "ready",
        kind: "live",
        tags: ["sport"],
        viewers: 0,
        tracks: [{ id: 1 }],
        configuration: { source: "push://" },
      },
      { name: "live+one", state: "waiting", tags: ["sport"] },
    ]);
    expect((await items(api, "/streams"))[2]).not.toHaveProperty("configuration");
    expect(await names(api, "/streams?live=true")).toEqual(["live"]);
    expect(await names(api, "/streams?live=false")).toEqual(["film", "live+one"]);
    expect(await names(api, "/streams?state=waiting")).toEqual(["live+one"]);
    expect(await names(api, "/streams?tag=sport&prefix=live%2B")).toEqual(["live+one"]);
    expect(await names(api, "/streams?limit=1")).toEqual(["film"]);
    const first = (await api.ask(get("/streams?limit=2"))).json;
    expect(await names(api, `/streams?cursor=${String(first["next"])}`)).toEqual(["live+one"]);
  });

  it("are added, replaced and removed, after the triggers have said yes", async () => {
    await using api = await startApi({ config });
    const asked: string[] = [];
    for (const name of ["STREAM_ADD", "STREAM_CONFIG", "STREAM_REMOVE"] as const) {
      api.triggers.on(name, ({ stream }) => (asked.push(`${name} ${stream}`), stream === "no" ? deny("not this one") : allow()));
    }
    const put = (name: string, body: unknown, headers = {}) => api.ask(send("PUT", `/streams/${name}`, body, headers));
    expect(await put("new", { source: "push://", DVR: "60000" })).toMatchObject({
      status: 201,
      json: { name: "new", configuration: { DVR: "60000" } },
    });
    expect(await put("new", { source: "push://", tags: ["a"] })).toMatchObject({ status: 200, json: { tags: ["a"] } });
    expect(await put("no", { source: "push://" })).toMatchObject({
      status: 403,
      json: { code: "access.denied", detail: expect.stringContaining("STREAM_ADD said no") },
    });
    expect(asked).toEqual(["STREAM_ADD new", "STREAM_CONFIG new", "STREAM_ADD no"]);
    expect((await put("new", { source: "x" }, { "If-None-Match": "*" })).status).toBe(412);
    expect((await put("other", { source: "x" }, { "If-None-Match": "*" })).status).toBe(201);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/new" })).status).toBe(204);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/new" })).status).toBe(404);
    expect(Object.keys(api.configuration.settings.streams)).toEqual(["live", "film", "other"]);
    for (const [name, body, words] of [
      ["Bad%20Name", { source: "x" }, "is no stream name"],
      ["ok", { source: 5 }, "source must be a text"],
      ["ok", { source: "x", DVR: "abc" }, 'streams.ok.DVR is "abc"'],
      ["ok", [], "the body must be an object with a `source`"],
    ] as const) {
      expect(await put(name, body)).toMatchObject({ status: 400, json: { error: expect.stringContaining(words) } });
    }
  });

  it("change only as they were read, when the client says so: of two writers one comes too late", async () => {
    await using api = await startApi({ config, streams: { live: {} } });
    const read = await api.ask(get("/streams/live"));
    const tag = String(read.headers["etag"]);
    expect([read.status, read.headers["cache-control"]]).toEqual([200, "private, no-cache"]);
    expect(await api.ask(get("/streams/live", { "If-None-Match": tag }))).toMatchObject({ status: 304, text: "", headers: { etag: tag } });
    // A viewer who comes changes the answer, and not what the tag guards.
    using viewer = await join(api.sessions, { stream: "live" });
    expect(viewer.sessionId).not.toBe("");
    const again = await api.ask(get("/streams/live", { "If-None-Match": tag }));
    expect([again.status, again.json["viewers"]]).toEqual([200, 1]);
    const write = (DVR: number) => api.ask(send("PUT", "/streams/live", { source: "push://", DVR }, { "If-Match": tag }));
    const both = await Promise.all([write(1000), write(2000)]);
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
    const late = both.find(({ status }) => status === 412);
    expect(late?.json).toMatchObject({ code: "api.changed", detail: expect.stringContaining("It has changed") });
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/live", headers: { "If-Match": tag } })).status).toBe(412);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/gone", headers: { "If-Match": "*" } })).status).toBe(412);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/live", headers: { "If-Match": "*" } })).status).toBe(204);
  });

  it("never show passwords, and take a masked one for the one that is there", async () => {
    await using api = await startApi({
      config: { streams: { in: { source: "rtmp://me:hunter2@example.com/app/key?token=hunter2" }, p: { source: "push://@hunter2" } } },
    });
    const { text } = await api.ask(get("/streams"));
    expect(text).not.toContain("hunter2");
    const { configuration } = (await api.ask(get("/streams/in"))).json as { configuration: { source: string } };
    expect(configuration).toEqual({ source: "rtmp://me:***@example.com/app/key?token=***" });
    await api.ask(send("PUT", "/streams/in", { ...configuration, tags: ["a"] }));
    expect(api.configuration.settings.streams["in"]).toEqual({
      source: "rtmp://me:hunter2@example.com/app/key?token=hunter2",
      tags: ["a"],
    });
    expect(["push://", "push://10.0.0.0/8@pw", "/a/b@c?d=e", "srt://h:1?streamid=a&passphrase=b"].map(maskedSource)).toEqual([
      "push://",
      "push://10.0.0.0/8@***",
      "/a/b@c?d=e",
      "srt://h:1?streamid=***&passphrase=***",
    ]);
  });

  it("say what their viewers are shown, and have them moved", async () => {
    await using api = await startApi({ config });
    expect((await api.ask(get("/streams/live"))).json).not.toHaveProperty("fallback");
    api.fallbacks.push({ stream: "live", shows: "slate", offlineSince: 5, liveAgain: false, switch: "seamless" });
    expect((await api.ask(get("/streams/live"))).json["fallback"]).toEqual({
      shows: "slate",
      offlineSince: 5,
      liveAgain: false,
      switch: "seamless",
    });
    expect((await api.ask(send("POST", "/streams/live/move", { to: "studio-2" }))).status).toBe(204);
    for (const body of [{}, { to: "" }, { to: 7 }, { to: "a", from: "b" }])
      expect((await api.ask(send("POST", "/streams/live/move", body))).status, JSON.stringify(body)).toBe(400);
    expect(api.moves).toEqual(["live to studio-2"]);
  });

  it("get and lose tags while they play", async () => {
    await using api = await startApi({ config, streams: { live: {} } });
    expect((await api.ask(send("POST", "/streams/live/tags", { tags: ["featured", "a/b"] }))).json).toEqual({
      tags: ["sport", "featured", "a/b"],
    });
    expect(await names(api, "/streams?tag=featured")).toEqual(["live"]);
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/live/tags/a%2Fb" })).json).toEqual({ tags: ["sport", "featured"] });
    expect((await api.ask({ method: "DELETE", path: "/api/v1/streams/live/tags/none" })).status).toBe(404);
    expect((await api.ask(send("POST", "/streams/live/tags", { tags: ["x".repeat(100), "y".repeat(100), "z".repeat(100)] }))).status).toBe(
      200,
    );
    expect(
      (await api.ask(send("POST", "/streams/live/tags", { tags: ["1", "2", "3", "4"].map((one) => one.repeat(100)) }))).json,
    ).toMatchObject({ code: "api.conflict" });
  });
});

describe("/sessions", () => {
  it("shows, filters and pages through sessions while they come and go, without their tokens", async () => {
    await using api = await startApi();
    const join2 = async (stream: string, address: string, user: string, more = {}) =>
      join(api.sessions, { stream, address, token: `secret-${address}`, ...more }, allow({ user, tags: [stream] }));
    const ids: string[] = [];
    for (const [index, user] of ["a", "b", "c", "d"].entries()) {
      ids.push((await join2(index < 3 ? "live" : "live+x", `203.0.113.${index}`, user)).sessionId);
      await api.clock.advance(1000);
    }
    const push = await join2("live", "198.51.100.1", "", { type: "input", protocol: "INPUT:RTMP", token: "1" });
    const list = async (query: string) => (await items(api, `/sessions${query}`)).map(({ id }) => id);
    expect(await list("")).toEqual([...ids, push.sessionId]);
    const all = await api.ask(get("/sessions"));
    expect(all.text).not.toContain("secret");
    expect((all.json["items"] as unknown[])[0]).toMatchObject({
      type: "viewer",
      state: "accepted",
      stream: "live",
      address: "203.0.113.0",
      user: "a",
      tags: ["live"],
      tokenHash: createHash("sha256").update("secret-203.0.113.0").digest("hex").slice(0, 16),
    });
    expect((all.json["items"] as unknown[]).at(-1)).toMatchObject({ type: "input", tokenHash: "" });
    for (const [query, expected] of [
      ["?user=b", [ids[1]]],
      ["?stream=live%2B", [ids[3]]],
      ["?stream=live&type=viewer&limit=2", [ids[0], ids[1]]],
      ["?address=203.0.113.2/31", [ids[2], ids[3]]],
      ["?tag=live%2Bx", [ids[3]]],
      ["?protocol=INPUT:RTMP", [push.sessionId]],
      ["?state=ended", []],
    ] as const) {
      expect(await list(query), query).toEqual(expected);
    }
    const first = (await api.ask(get("/sessions?limit=2"))).json;
    expect((await api.ask({ method: "DELETE", path: `/api/v1/sessions/${ids[1]}` })).status).toBe(204);
    expect((await api.ask({ method: "DELETE", path: `/api/v1/sessions/${ids[2]}?reason=bye` })).status).toBe(204);
    expect(await list(`?cursor=${String(first["next"])}`)).toEqual([ids[3], push.sessionId]);
    expect(await list("?state=ended")).toEqual([ids[1], ids[2]]);
    expect((await api.ask(get(`/sessions/${ids[1]}`))).json).toMatchObject({ state: "ended" });
    expect((await api.ask({ method: "DELETE", path: `/api/v1/sessions/${ids[1]}` })).json).toMatchObject({
      status: 404,
      code: "api.unknown",
    });
  });

  it("are ended and asked about by lists, and say how many it touched", async () => {
    await using api = await startApi();
    let asked = 0;
    const watch = (token: string) =>
      api.sessions.join(
        { type: "viewer", stream: "live", address: "203.0.113.7", token, protocol: "HLS", url: "" },
        async () => (asked++, allow({ user: token })),
      );
    const [a, b, c] = [await watch("a"), await watch("b"), await watch("c")];
    expect((await api.ask(send("POST", "/sessions/stop", { users: ["a"], ids: [b.sessionId], reason: "over" }))).json).toEqual({
      sessions: 2,
    });
    expect([a, b, c].map(({ signal }) => signal.aborted)).toEqual([true, true, false]);
    expect(String(a.signal.reason)).toContain("over");
    expect((await api.ask(send("POST", "/sessions/invalidate", { addresses: ["203.0.113.0/24"] }))).json).toEqual({ sessions: 1 });
    expect(asked).toBe(4);
    for (const body of [{}, { ids: [] }, { streams: [""] }, { reason: "all" }]) {
      expect((await api.ask(send("POST", "/sessions/stop", body))).json, JSON.stringify(body)).toMatchObject({
        status: 400,
        detail: expect.stringContaining("at least one of"),
      });
    }
    expect(c.signal.aborted).toBe(false);
  });

  it("get and lose tags", async () => {
    await using api = await startApi();
    const { sessionId } = await join(api.sessions, { stream: "live" });
    expect((await api.ask(send("POST", `/sessions/${sessionId}/tags`, { tags: ["vip"] }))).json).toMatchObject({ tags: ["vip"] });
    expect((await api.ask({ method: "DELETE", path: `/api/v1/sessions/${sessionId}/tags/vip` })).json).toMatchObject({ tags: [] });
    expect((await api.ask({ method: "DELETE", path: `/api/v1/sessions/${sessionId}/tags/vip` })).status).toBe(404);
    expect((await api.ask(send("POST", "/sessions/none/tags", { tags: ["vip"] }))).status).toBe(404);
  });
});

describe("/config", () => {
  it("is changed by a merge patch, all or nothing, and survives a restart", async () => {
    const store = memoryStore();
    {
      await using api = await startApi({ store });
      const changed = await api.ask(send("PATCH", "/config", { latency: "low", sessionViewerMode: 15, journal: { mode: "off" } }));
      expect(changed).toMatchObject({
        status: 200,
        json: { latency: "low", sessionViewerMode: 15, journal: { mode: "off", sample: 0.01 } },
      });
      expect((await api.ask(send("PATCH", "/config", { sessionViewerMode: null, journal: { sample: 0.5 } }))).json).toMatchObject({
        sessionViewerMode: 14,
        journal: { mode: "off", sample: 0.5 },
      });
      const { settings } = api.configuration;
      for (const [body, words] of [
        [{ latency: "high", httpPort: 99_999 }, "httpPort must be a port number"],
        [{ latency: "high", journal: { mode: "x" } }, "journal.mode"],
        [{ latency: "high", streams: {} }, "streams: there is no such field"],
        [{ data: "/tmp" }, "data: there is no such field"],
        [{ jwks: [] }, "jwks: there is no such field"],
        [[], "the body must be an object with settings"],
      ] as const) {
        expect(await api.ask(send("PATCH", "/config", body)), JSON.stringify(body)).toMatchObject({
          status: 400,
          json: { error: expect.stringContaining(words) },
        });
      }
      expect(api.configuration.settings).toBe(settings);
    }
    await using api = await startApi({ store });
    expect(api.configuration.settings).toMatchObject({ latency: "low", sessionViewerMode: 14, journal: { mode: "off", sample: 0.5 } });
  });

  it("shows no secrets, and is guarded by its tag", async () => {
    const jwk = { kty: "oct", k: "aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg", alg: "HS256" };
    await using api = await startApi({
      config: {
        account: { a: { password: "21232f297a57a5a743894a0e4a801fc3" } },
        jwks: [jwk],
        streamkeys: { hunter2hunter2: "live" },
        defaultSource: "push://@hunter2",
      },
    });
    const read = await api.ask(get("/config"));
    expect(read.text).not.toMatch(/hunter2|21232f|aHVudGVy/);
    expect(read.json).toMatchObject({ defaultSource: "push://@***", apiLocalAccess: true });
    expect(
      (await api.ask(send("PATCH", "/config", { defaultSource: "push://@***", latency: "low" }, { "If-Match": read.headers["etag"] })))
        .status,
    ).toBe(200);
    expect(api.configuration.settings.defaultSource).toBe("push://@hunter2");
    expect((await api.ask(send("PATCH", "/config", { latency: "high" }, { "If-Match": read.headers["etag"] }))).status).toBe(412);
    expect(api.configuration.settings.latency).toBe("low");
  });
});

describe("hostile and wrong requests", () => {
  it.each([
    ["no type", { headers: {}, body: "{}" }, 400, "Content-Type: application/json"],
    ["another type", { headers: { "Content-Type": "text/plain" }, body: "{}" }, 400, "Content-Type: application/json"],
    ["a form", { headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: "a=b" }, 400, "Content-Type"],
    ["nothing", { headers: json, body: "" }, 400, "no valid JSON"],
    ["half a body", { headers: json, body: '{"tags":["hunter2' }, 400, "no valid JSON"],
    ["too much", { headers: json, body: JSON.stringify({ tags: ["x".repeat(1024 * 1024)] }) }, 413, "at most 1048576 bytes"],
    ["deep nesting", { headers: json, body: "[".repeat(100_000) }, 400, "no valid JSON"],
    [
      "deep nesting that is whole",
      { headers: json, body: `{"tags":${"[".repeat(5000)}${"]".repeat(5000)}}` },
      400,
      "tags.0 must be a text",
    ],
    ["a list", { headers: json, body: "[]" }, 400, "the body must be"],
    ["null", { headers: json, body: "null" }, 400, "the body must be"],
    ["the prototype", { headers: json, body: '{"__proto__":{"tags":["a"]}}' }, 400, "tags must be"],
    [
      "unknown fields",
      { headers: json, body: '{"tags":["a"],"tag":"b","constructor":1}' },
      400,
      "tag, constructor: there is no such field",
    ],
  ])("%s", async (_, { headers, body }, status, words) => {
    await using api = await startApi();
    const { sessionId } = await join(api.sessions, { stream: "live" });
    const answer = await api.ask({ method: "POST", path: `/api/v1/sessions/${sessionId}/tags`, headers, body });
    expect(answer).toMatchObject({
      status,
      headers: { "content-type": "application/problem+json", "cache-control": "no-store", "access-control-allow-origin": "*" },
      json: {
        status,
        type: expect.stringMatching(/^urn:sluice:error:input\./),
        title: expect.any(String),
        detail: expect.stringContaining(words),
      },
    });
    expect(answer.json["error"]).toBe(answer.json["detail"]);
    expect(answer.text).not.toContain("hunter2");
    expect(answer.text.length).toBeLessThan(5000);
    expect(api.sessions.get(sessionId)?.tags).toEqual([]);
  });

  it("name each wrong field", async () => {
    await using api = await startApi();
    expect((await api.ask(get("/streams?limit=0&colour=red&live=maybe"))).json["errors"]).toEqual([
      { in: "query", path: "limit", message: "must be 1 to 1000" },
      { in: "query", path: "live", message: "must be true or false" },
      { in: "query", path: "colour", message: "there is no such field" },
    ]);
    expect((await api.ask(get("/status?verbose=1"))).json).toMatchObject({ status: 400, detail: "verbose: there is no such field" });
    expect((await api.ask(get("/streams?tag=a&tag=b"))).json).toMatchObject({ status: 400, detail: "tag is given twice; give it once" });
    expect((await api.ask(get("/sessions?cursor=nonsense"))).json).toMatchObject({
      status: 400,
      detail: expect.stringContaining("cursor must be"),
    });
    expect((await api.ask(send("POST", "/accounts", { name: "a:b", password: "short", scope: "god" }))).json["errors"]).toMatchObject([
      { in: "body", path: "name" },
      { in: "body", path: "password" },
      { in: "body", path: "scope" },
    ]);
    expect((await api.ask(get("/nothing"))).json).toMatchObject({
      status: 404,
      code: "api.unknown",
      detail: "There is no GET /api/v1/nothing",
    });
    expect(await api.ask({ method: "OPTIONS", path: "/api/v1/streams", headers: { Origin: "https://x.example" } })).toMatchObject({
      status: 204,
      headers: { "access-control-allow-methods": expect.stringContaining("PATCH") },
    });
  });

  it("tell nothing of what should not happen", async () => {
    await using api = await startApi();
    Object.assign(api.parts.journal, { call: () => Promise.reject(new Error("secret path /root")) });
    const answer = await api.ask(get("/triggers/calls/x"));
    expect(answer).toMatchObject({ status: 500, json: { code: "server.failed" } });
    expect(answer.text).not.toContain("secret");
    expect(api.lines.at(-1)).toMatchObject({ kind: "ERROR", message: "API: secret path /root" });
  });
});
