import { createHash } from "node:crypto";
import { Agent } from "node:http";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { join, memoryStore, startApi, type TestApi } from "../../test/support/api-server.ts";
import { isSluiceError } from "../base/errors.ts";
import { isLocal } from "./asker.ts";
import { createApi } from "./server.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const account = { admin: { password: md5("secret") } };
const json = { "Content-Type": "application/json" };
const remote = { "X-Forwarded-For": "203.0.113.9" };
const command = '{"active_streams":true,"minimal":1}';
const answered = { LTS: 1, active_streams: ["live"] };
const playing = { streams: { live: {} } };

describe("how a command arrives", () => {
  it.each([
    ["JSON", { path: "/api2", headers: json, body: command }],
    [
      "JSON with a charset, which the reference ignores",
      { path: "/api", headers: { "Content-Type": "application/json; charset=utf-8" }, body: command },
    ],
    ["JSON without a type", { path: "/api", body: command }],
    ["JSON that curl calls a form", { path: "/api", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: command }],
    [
      "a form",
      { path: "/api", headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: `command=${encodeURIComponent(command)}` },
    ],
    ["the query", { method: "GET", path: `/api?command=${encodeURIComponent(command)}` }],
    ["any path", { method: "GET", path: `/some/where?command=${encodeURIComponent(command)}` }],
  ])("%s", async (_, request) => {
    await using api = await startApi(playing);
    const answer = await api.ask(request);
    expect(answer.json).toEqual(answered);
    expect(answer.text.endsWith("}\n\n")).toBe(true);
    expect(answer.headers).toMatchObject({ "content-type": "text/javascript", "access-control-allow-origin": "*" });
    expect(answer.headers).not.toHaveProperty("access-control-allow-credentials");
  });

  it("answers JSONP, but only for names", async () => {
    await using api = await startApi(playing);
    const path = `/api2?command=${encodeURIComponent(command)}`;
    expect((await api.ask({ method: "GET", path: `${path}&callback=a&jsonp=my.fn` })).text).toBe(`my.fn(${JSON.stringify(answered)});\n\n`);
    expect((await api.ask({ method: "GET", path: `${path}&callback=alert(1)//` })).text).toBe(`${JSON.stringify(answered)}\n\n`);
  });

  it.each([
    ["{", "The command is no valid JSON: "],
    ["[1]", 'The command must be a JSON object, such as {"active_streams":true}'],
    ['{"authorize":{"password":"hunter2"', "The command is no valid JSON: "],
  ])("says what is wrong with %s and does not repeat it", async (body, words) => {
    await using api = await startApi();
    const answer = await api.ask({ path: "/api2", headers: json, body });
    expect([answer.status, answer.json["LTS"]]).toEqual([200, 1]);
    expect(answer.json["error"]).toContain(words);
    expect(answer.text).not.toContain("hunter2");
  });

  it("has a health check, a page for people, and preflights that run nothing", async () => {
    await using api = await startApi({ config: { account } });
    expect(await api.ask({ method: "GET", path: "/healthz" })).toMatchObject({ status: 200, text: "ok" });
    expect((await api.ask({ method: "GET", path: "/" })).text).toContain("/api");
    const preflight = await api.ask({ method: "OPTIONS", path: '/api2?command={"shutdown":true}' });
    expect([preflight.status, preflight.text, api.stopped]).toEqual([204, "", []]);
    expect((await api.ask({ path: "/api2", headers: json, body: " ".repeat(5_000_000) })).status).toBe(413);
    expect((await api.ask({ method: "DELETE", path: "/api2" })).status).toBe(405);
  });

  it("bounds a body that does not tell its length, and reads one that is short enough", async () => {
    await using api = await startApi(playing);
    const chunked = { ...json, "Transfer-Encoding": "chunked" };
    expect((await api.ask({ path: "/api2", headers: chunked, body: command })).json).toEqual(answered);
    expect((await api.ask({ path: "/api2", headers: chunked, body: " ".repeat(4_300_000) })).status).toBe(413);
    expect(await api.call({ active_streams: true })).toEqual(answered);
  });

  it("survives garbage on its port", async () => {
    await using api = await startApi(playing);
    await new Promise<void>((resolve) => {
      const socket = connect(api.port, "127.0.0.1", () => socket.write(Buffer.from([0, 255, 1, 2, 13, 10, 13, 10])));
      socket.on("error", () => {});
      socket.on("close", () => resolve());
      socket.resume();
    });
    expect(await api.call({ active_streams: true })).toEqual(answered);
  });

  it("ignores calls that it does not know, and names that only objects know", async () => {
    await using api = await startApi();
    expect(await api.call(JSON.parse('{"no_such_call":1,"constructor":1,"__proto__":{"minimal":0}}'))).toEqual({ LTS: 1 });
  });

  it("says which port is in use and how to choose another", async () => {
    await using api = await startApi();
    const error = await createApi(api.parts)
      .listen("127.0.0.1", api.port)
      .catch((caught: unknown) => caught);
    expect(isSluiceError(error, "listen.failed")).toBe(true);
    expect(String(error)).toContain(`port ${api.port} is in use; choose another with --api-port N`);
  });
});

describe("who may command", () => {
  it("takes a program on this machine for local, and no proxy, foreign web page or foreign name", () => {
    const host = { host: "localhost:4242" };
    expect(isLocal("127.0.0.1", host)).toBe(true);
    expect(isLocal("::ffff:127.0.0.1", { host: "127.0.0.1:4242" })).toBe(true);
    expect(isLocal("::1", { host: "[::1]:4242", origin: "http://[::1]:4242", "sec-fetch-site": "same-origin" })).toBe(true);
    expect(isLocal("192.0.2.1", host)).toBe(false);
    expect(isLocal("127.0.0.1", {})).toBe(false);
    expect(isLocal("127.0.0.1", { host: "attacker.example:4242" })).toBe(false);
    for (const name of ["x-forwarded-for", "x-real-ip", "forwarded", "via"])
      expect(isLocal("127.0.0.1", { ...host, [name]: "x" }), name).toBe(false);
    expect(isLocal("127.0.0.1", { ...host, origin: "https://attacker.example" })).toBe(false);
    expect(isLocal("127.0.0.1", { ...host, origin: "null" })).toBe(false);
    expect(isLocal("127.0.0.1", { ...host, referer: "https://attacker.example/page" })).toBe(false);
    expect(isLocal("127.0.0.1", { ...host, "sec-fetch-site": "cross-site" })).toBe(false);
  });

  it("lets nobody else in while there is no account, nor make the first one", async () => {
    await using api = await startApi({ streams: { live: {} } });
    const make = { authorize: { new_username: "admin", new_password: "secret" }, minimal: 1 };
    const answer = await api.ask({ headers: { ...json, ...remote }, body: JSON.stringify({ ...make, active_streams: true }) });
    expect(answer.json).toEqual({ authorize: { status: "NOACC", error: expect.stringContaining("from the server's own machine") } });
    expect(api.configuration.settings.account).toEqual({});

    expect((await api.ask({ path: "/api", headers: json, body: "{}" })).json).toMatchObject({ authorize: { status: "NOACC" }, config: {} });
    expect(await api.call(make)).toEqual({ LTS: 1, authorize: { status: "ACC_MADE", challenge: expect.stringMatching(/^[0-9a-f]{32}$/) } });
    expect(api.configuration.settings.account).toEqual(account);
    expect((await api.call({ ...make, authorize: { new_username: "other", new_password: "x" } }))["authorize"]).toEqual({
      status: "OK",
      local: true,
    });
    expect(Object.keys(api.configuration.settings.account)).toEqual(["admin"]);
  });

  it("never shows accounts, hashes or passwords in an answer or the log", async () => {
    await using api = await startApi({ config: { account } });
    const texts = [
      (await api.ask({ path: "/api", headers: json, body: '{"config":true,"capabilities":true}' })).text,
      (await api.ask({ headers: { ...remote, Authorization: 'json {"username":"who","password":"hunter2"}' } })).text,
      (await api.ask({ headers: { ...json, ...remote }, body: '{"authorize":{"username":"who","password":"hunter2"}}' })).text,
      JSON.stringify(api.lines),
    ];
    for (const text of texts) expect(text).not.toMatch(new RegExp(`hunter2|${md5("secret")}`));
  });

  const login = async (api: TestApi, password: string, headers = remote) => {
    const first = await api.ask({ path: "/api2", headers: { ...json, ...headers }, body: "{}" });
    const { challenge } = first.json["authorize"] as { challenge: string };
    const authorize = { username: "admin", password: md5(md5(password) + challenge) };
    const answer = await api.ask({ path: "/api2", headers: { ...json, ...headers }, body: JSON.stringify({ authorize, logout: true }) });
    return answer.json["authorize"] as { readonly status: string; readonly error?: string };
  };

  it("makes an address wait after five wrong attempts, longer each time, and nobody else", async () => {
    await using api = await startApi({ config: { account } });
    for (let attempt = 0; attempt < 5; attempt++) expect(await login(api, "wrong")).toMatchObject({ status: "CHALL" });
    expect(await login(api, "secret")).toMatchObject({ status: "CHALL", error: "Too many wrong attempts; try again in 1 seconds." });
    expect(await login(api, "secret", { "X-Forwarded-For": "203.0.113.10" })).toEqual({ status: "OK" });
    await api.clock.advance(1000);
    expect(await login(api, "wrong")).toMatchObject({ status: "CHALL" });
    expect((await login(api, "secret")).error).toContain("2 seconds");
    const header = await api.ask({ headers: { ...remote, Authorization: 'json {"username":"a","password":"b"}' } });
    expect([header.status, header.headers["retry-after"]]).toEqual([403, "2"]);
    await api.clock.advance(2000);
    expect(await login(api, "secret")).toEqual({ status: "OK" });
  });

  it("has challenges that differ between servers and addresses and end after two hours", async () => {
    await using api = await startApi({ config: { account } });
    await using other = await startApi({ config: { account } });
    const challengeOf = async (of: TestApi, address: string): Promise<string> => {
      const answer = await of.ask({ path: "/api2", headers: { "X-Forwarded-For": address } });
      return (answer.json["authorize"] as { challenge: string }).challenge;
    };
    const [a, b, c] = [
      await challengeOf(api, "203.0.113.1"),
      await challengeOf(api, "203.0.113.2"),
      await challengeOf(other, "203.0.113.1"),
    ];
    expect(new Set([a, b, c]).size).toBe(3);
    const use = async (): Promise<unknown> => {
      const authorize = { username: "admin", password: md5(md5("secret") + a) };
      const answer = await api.ask({
        path: "/api2",
        headers: { ...json, "X-Forwarded-For": "203.0.113.1" },
        body: JSON.stringify({ authorize, logout: 1 }),
      });
      return answer.json["authorize"];
    };
    expect(await use()).toEqual({ status: "OK" });
    await api.clock.advance(3_600_000);
    expect(await use()).toEqual({ status: "OK" });
    await api.clock.advance(3_600_000);
    expect(await use()).toMatchObject({ status: "CHALL" });
  });

  it("does not lend one client's login to another that a proxy sends over the same connection", async () => {
    await using api = await startApi({ config: { account }, streams: { live: {} } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const by = (address: string, body: unknown) =>
      api.ask({ path: "/api2", headers: { ...json, "X-Forwarded-For": address }, body: JSON.stringify(body) }, agent);
    const { challenge } = (await by("203.0.113.1", {})).json["authorize"] as { challenge: string };
    const authorize = { username: "admin", password: md5(md5("secret") + challenge) };
    expect((await by("203.0.113.1", { authorize })).json["authorize"]).toEqual({ status: "OK" });
    expect((await by("203.0.113.1", { active_streams: true })).json).toMatchObject({ active_streams: ["live"] });
    expect((await by("203.0.113.2", { active_streams: true })).json).toMatchObject({ authorize: { status: "CHALL" } });
    agent.destroy();
  });
});

describe("changing the configuration", () => {
  it("keeps a change before it answers", async () => {
    const store = memoryStore();
    await using api = await startApi({ store });
    await api.call({
      config: { triggers: { USER_NEW: [{ handler: "/bin/true", sync: true }] }, tknMode: "3", defaultStream: "vod", location: { lat: 1 } },
    });
    expect(Object.fromEntries(store.rows)).toEqual({
      triggers: { USER_NEW: [{ handler: "/bin/true", sync: true }] },
      tknMode: 3,
      defaultStream: "vod",
      "kept.location": { lat: 1 },
    });
    const { config } = await api.call({ config: { tknMode: null, location: null } });
    expect(config).toMatchObject({ tknMode: 15, defaultStream: "vod" });
    expect(config).not.toHaveProperty("location");
  });

  it("leaves out a member of the wrong kind, logs it, and takes the others", async () => {
    await using api = await startApi();
    const { config } = await api.call({
      config: { sessionViewerMode: 99, trustedproxy: "10.0.0.1 10.0.0.2", serverid: "me", unheard_of: 1 },
    });
    expect(config).toMatchObject({ sessionViewerMode: 14, trustedproxy: ["10.0.0.1", "10.0.0.2"], serverid: "me" });
    expect(api.lines.filter(({ kind }) => kind === "WARN").map(({ message }) => message)).toEqual([
      expect.stringMatching(/^API: config\.sessionViewerMode is 99; it must be .*; it stays as it was$/),
    ]);
  });

  it("takes no triggers that the bus could not work with: the server would not start again", async () => {
    await using api = await startApi();
    const triggers = { USER_NEW: [{ handler: "http://", sync: true }] };
    const answer = await api.call({ config: { triggers } });
    expect(answer).toMatchObject({
      config: { triggers: null },
      error: expect.stringMatching(/^API: config\.triggers\.USER_NEW\[0\]\.handler: .*"http:\/\/"/),
    });
  });

  it("tells when a change could not be kept, and does not make it", async () => {
    const store = { ...memoryStore(), write: () => Promise.reject(new Error("disk full")) };
    await using api = await startApi({ store });
    expect(await api.call({ config: { serverid: "me" }, active_streams: true })).toMatchObject({
      error: "config failed: disk full",
      config: { serverid: "" },
      active_streams: null,
    });
  });

  it("takes ports and protocols for the next start and lists what runs now", async () => {
    await using api = await startApi();
    const protocols = [
      { connector: "HTTP", port: 9090 },
      { connector: "HLS", online: "Enabled" },
      { connector: "HLS" },
      { connector: "DTSC", port: 4200 },
    ];
    const { config } = await api.call({ config: { protocols, controller: { port: "5252", interface: "127.0.0.1", username: "me" } } });
    expect(config).toMatchObject({
      controller: { interface: "127.0.0.1", port: 5252, username: "me" },
      protocols: [
        { connector: "HTTP", port: 9090, online: 1 },
        { connector: "HLS", online: "Enabled" },
        { connector: "DTSC", port: 4200, online: "Not installed" },
      ],
    });
    expect(api.configuration.settings).toMatchObject({ httpPort: 9090, apiPort: 5252, rtmpPort: 1935 });
    expect(api.lines.map(({ message }) => message).join()).toContain("count from the next start");
  });

  it("streams: replaces all, adds some, removes some", async () => {
    await using api = await startApi({ config: { streams: { old: "push://" } }, streams: { live: {}, waiting: { state: "waiting" } } });
    expect(
      (await api.call({ streams: { live: { source: "push://" }, waiting: { source: "push://" }, gone: { source: "/no/such.mp4" } } }))[
        "streams"
      ],
    ).toEqual({
      live: { name: "live", source: "push://", online: 1 },
      waiting: { name: "waiting", source: "push://", online: 2, error: "Waiting for data..." },
      gone: { name: "gone", source: "/no/such.mp4", online: 0, error: "Stream offline: Not found: /no/such.mp4" },
    });
    await api.call({
      addstream: { live: { name: "x", source: "push://", resume: 1, online: 1 }, bad: { source: "push://", DVR: "abc" } },
      deletestream: ["gone"],
    });
    expect(api.configuration.settings.streams).toEqual({ live: { source: "push://", resume: 1 }, waiting: { source: "push://" } });
    expect(api.lines.map(({ message }) => message).join()).toContain('streams.bad.DVR is "abc"');
  });
});

describe("sessions, log and the server", () => {
  it("lists exactly the ready streams as Online", async () => {
    await using api = await startApi({
      streams: { a: { state: "initializing" }, b: { state: "booting" }, c: { state: "waiting" }, d: {}, e: { state: "shutdown" } },
    });
    const { active_streams: rows } = await api.call({ active_streams: ["status"] });
    expect(rows).toEqual({ a: ["Initializing"], b: ["Input booting"], c: ["Waiting for data"], d: ["Online"], e: ["Shutting down"] });
  });

  it("stop_sessions in all of its shapes", async () => {
    const shapes: readonly (readonly [unknown, readonly string[]])[] = [
      ["live", ["live FLV", "live INPUT:RTMP", "live RTMP"]],
      [{ live: "" }, ["live FLV", "live INPUT:RTMP", "live RTMP"]],
      [{ live: "RTMP" }, ["live RTMP"]],
      [{ "": "RTMP" }, ["live RTMP", "other RTMP"]],
      [
        ["RTMP", "FLV"],
        ["live FLV", "live RTMP", "other RTMP"],
      ],
      [
        [{ other: "RTMP" }, { live: "FLV" }],
        ["live FLV", "other RTMP"],
      ],
      [{ live: ["RTMP"] }, ["live RTMP", "other RTMP"]],
      ["liv", []],
      ["", []],
      [{ "": "" }, []],
      [[], []],
    ];
    for (const [value, expected] of shapes) {
      await using api = await startApi();
      const all = [
        ["live", "FLV"],
        ["live", "RTMP"],
        ["live", "INPUT:RTMP"],
        ["other", "RTMP"],
      ] as const;
      const connections = [];
      for (const [stream, protocol] of all) {
        const type = protocol.startsWith("INPUT") ? "input" : "viewer";
        connections.push([`${stream} ${protocol}`, await join(api.sessions, { stream, protocol, type, token: protocol })] as const);
      }
      expect(await api.call({ stop_sessions: value })).toEqual({ LTS: 1 });
      const ended = connections.filter(([, connection]) => connection.signal.aborted).map(([name]) => name);
      expect(ended.sort(), JSON.stringify(value)).toEqual(expected);
    }
  });

  it("stop_sessid, tag_sessid and stop_tag", async () => {
    await using api = await startApi();
    const [a, b, c] = [
      await join(api.sessions, { stream: "a" }),
      await join(api.sessions, { stream: "b" }),
      await join(api.sessions, { stream: "c" }),
    ];
    await api.call({ stop_sessid: { first: a.sessionId }, tag_sessid: { [b.sessionId]: "vip", unknown: "x" } });
    expect([a.signal.aborted, b.signal.aborted, c.signal.aborted]).toEqual([true, false, false]);
    await api.call({ stop_tag: "vip" });
    expect([b.signal.aborted, c.signal.aborted]).toEqual([true, false]);
    expect(((await api.call({ clients: {} }))["clients"] as { data: unknown[] }).data).toHaveLength(1);
  });

  it("answers the last 100 lines of the log", async () => {
    await using api = await startApi();
    for (let line = 0; line < 120; line++) api.parts.log.write("INFO", `line ${line}`, { stream: "live" });
    const { log } = (await api.call({ log: true })) as { log: unknown[][] };
    expect(log).toHaveLength(100);
    expect(log.at(-1)).toEqual([Math.floor(api.clock.now() / 1000), "INFO", "line 119", "live", process.pid, "sluice", ""]);
  });

  it("has the capabilities' members", async () => {
    await using api = await startApi();
    const { capabilities } = (await api.call({ capabilities: true })) as { capabilities: Record<string, Record<string, unknown>> };
    expect(capabilities["connectors"]?.["HLS"]).toMatchObject({
      name: "HLS",
      url_rel: "/hls/$/index.m3u8",
      codecs: [[["+H264"], ["+AAC"]]],
      deps: "HTTP",
    });
    expect(capabilities["triggers"]?.["USER_NEW"]).toMatchObject({ stream_specific: true, response: "always" });
    expect(Object.keys(capabilities)).toEqual(
      expect.arrayContaining(["cpu", "cpu_use", "inputs", "internal_writers", "load", "mem", "speed", "threads"]),
    );
  });

  it("shuts down for this machine only, after the answer", async () => {
    await using api = await startApi({ config: { account } });
    const { challenge } = (await api.ask({ path: "/api2", headers: remote })).json["authorize"] as { challenge: string };
    const authorize = { username: "admin", password: md5(md5("secret") + challenge) };
    expect(
      (await api.ask({ path: "/api2", headers: { ...json, ...remote }, body: JSON.stringify({ authorize, shutdown: true }) })).json,
    ).toEqual({
      LTS: 1,
      authorize: { status: "OK" },
    });
    expect(api.stopped).toEqual([]);
    expect(await api.call({ shutdown: true })).toMatchObject({ shutdown: "Shutting down" });
    expect(api.stopped).toEqual(["stopped"]);
  });
});
