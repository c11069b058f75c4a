import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type ApiOptions, join, startApi, type TestApi } from "../../../test/support/api-server.ts";
import { rawClient } from "../../../test/support/loopback.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const account = { operator: { password: md5("correct horse") } };
const elsewhere = { "X-Forwarded-For": "203.0.113.1" };

/** A client of `/ws` and all that it was told. */
type Client = {
  readonly socket: WebSocket;
  readonly frames: unknown[][];
  until(count: number): Promise<unknown[][]>;
  readonly closed: Promise<number>;
};

describe("/ws", () => {
  const open: { api?: TestApi } = {};
  const clients: WebSocket[] = [];
  afterEach(async () => {
    for (const socket of clients.splice(0)) socket.terminate();
    await open.api?.[Symbol.asyncDispose]();
  });
  const start = async (options: ApiOptions = {}): Promise<TestApi> => (open.api = await startApi(options));

  const connect = (api: TestApi, path: string, headers: Record<string, string> = {}): Client => {
    const socket = new WebSocket(`ws://127.0.0.1:${api.port}${path}`, { headers });
    clients.push(socket);
    const frames: unknown[][] = [];
    const looks = new Set<() => void>();
    socket.on("message", (data) => {
      frames.push(JSON.parse(String(data)) as unknown[]);
      for (const look of looks) look();
    });
    socket.on("error", () => {});
    return {
      socket,
      frames,
      closed: new Promise((resolve) => socket.once("close", resolve)),
      until: (count) =>
        new Promise((resolve) => {
          const look = (): void => {
            if (frames.length < count) return;
            looks.delete(look);
            resolve(frames);
          };
          looks.add(look);
          look();
        }),
    };
  };
  const refused = (api: TestApi, path: string, headers: Record<string, string> = {}): Promise<number> =>
    new Promise((resolve) => {
      const { socket } = connect(api, path, headers);
      socket.once("unexpected-response", (_, response) => resolve(response.statusCode ?? 0));
    });

  it("tells local programs the log, the ends of sessions and the streams, from where they asked on", async () => {
    const api = await start({
      streams: { live: {}, radio: { state: "waiting" } },
      config: { streams: { live: { source: "push://", tags: ["a", "b"] } } },
    });
    for (const message of ["one", "two", "three"]) api.parts.log.write("INFO", message, { stream: "live" });
    for (const token of ["x", "y"]) {
      const session = await join(api.sessions, { stream: "live", token });
      session.count(500, 20);
      api.sessions.tag(session.sessionId, "gold");
      session[Symbol.dispose]();
      api.sessions.stop(({ id }) => id === session.sessionId, "enough");
    }
    const client = connect(api, "/ws?logs=2&accs=1&streams=1");
    await client.until(6);
    const unix = Math.floor(api.clock.now() / 1000);
    const line = (message: string, kind = "INFO") => ["log", [unix, kind, message, "live", process.pid, "sluice", ""]];
    expect(client.frames).toEqual([
      ["auth", true],
      line("two"),
      line("three"),
      ["access", [unix, expect.stringMatching(/^[0-9a-f]{64}$/), "live", "HLS", "203.0.113.7", 1, 500, 20, "[gold]"]],
      ["stream", ["live", 4, 0, 0, 0, "[a][b]"]],
      ["stream", ["radio", 3, 0, 0, 0, ""]],
    ]);

    api.parts.log.write("WARN", "four", { stream: "live" });
    const watching = await join(api.sessions, { stream: "live", token: "z" });
    delete api.streams["radio"];
    await api.clock.advance(1000);
    await client.until(9);
    expect(client.frames.slice(6)).toEqual([
      line("four", "WARN"),
      ["stream", ["live", 4, 1, 0, 0, "[a][b]"]],
      ["stream", ["radio", 0, 0, 0, 0, ""]],
    ]);
    api.sessions.stop(({ id }) => id === watching.sessionId, "enough");
    await api.clock.advance(20);
    expect((await client.until(10))[9]).toEqual(["access", expect.arrayContaining([unix + 1, watching.sessionId, "live"])]);
  });

  it("tells each of several peers of a change, also when another one comes right behind it", async () => {
    const api = await start({ streams: { live: {} } });
    const first = connect(api, "/ws?streams=1");
    await first.until(2);
    api.streams["live"] = { state: "waiting" };
    const second = connect(api, "/ws?streams=1");
    expect((await second.until(2))[1]).toEqual(["stream", ["live", 3, 0, 0, 0, ""]]);
    await api.clock.advance(1000);
    expect((await first.until(3))[2]).toEqual(["stream", ["live", 3, 0, 0, 0, ""]]);
    delete api.streams["live"];
    first.socket.close();
    second.socket.close();
    await Promise.all([first.closed, second.closed]);
    const third = connect(api, "/ws?streams=1");
    await third.until(1);
    await api.clock.advance(5000);
    api.streams["new"] = {};
    await api.clock.advance(1000);
    expect((await third.until(2)).slice(1)).toEqual([["stream", ["new", 4, 0, 0, 0, ""]]]);
  });

  it("tells only what was asked for, all since a time or nothing of before", async () => {
    const api = await start({ streams: { live: {} } });
    api.parts.log.write("INFO", "early");
    await api.clock.advance(5000);
    const since = Math.floor(api.clock.now() / 1000);
    api.parts.log.write("INFO", "late");
    const all = connect(api, `/ws?logs=since:${since}`);
    const fresh = connect(api, "/ws?logs=0");
    expect((await all.until(2)).map(([, item]) => (item as unknown[])[2])).toEqual([undefined, "late"]);
    await fresh.until(1);
    api.parts.log.write("INFO", "new");
    await api.clock.advance(20);
    expect([(await all.until(3)).length, (await fresh.until(2))[1]?.[1]]).toEqual([3, expect.arrayContaining(["new"])]);
  });

  it("asks who comes from elsewhere to log in, and tells nothing before", async () => {
    const api = await start({ config: { account } });
    const client = connect(api, "/ws?logs=10", elsewhere);
    expect(await client.until(1)).toEqual([["auth", false]]);
    api.parts.log.write("INFO", "secret");
    client.socket.send("no JSON");
    client.socket.send(JSON.stringify(["auth", {}]));
    const [, challenge] = await client.until(2);
    expect(challenge).toMatchObject(["auth", { status: "CHALL" }]);
    const login = (password: string) => {
      const { challenge: text } = (challenge as [string, { challenge: string }])[1];
      client.socket.send(JSON.stringify(["auth", { username: "operator", password: md5(md5(password) + text) }]));
    };
    login("wrong");
    expect((await client.until(3))[2]).toMatchObject(["auth", { status: "CHALL" }]);
    login("correct horse");
    await client.until(5);
    expect(client.frames[3]).toEqual(["auth", { status: "OK" }]);
    expect(client.frames.slice(4).map(([kind]) => kind)).toContain("log");
    expect(client.frames.slice(0, 4).filter(([kind]) => kind === "log")).toEqual([]);
    await api.clock.advance(11_000);
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  });

  it("ends who does not log in within ten seconds", async () => {
    const api = await start({ config: { account } });
    const client = connect(api, "/ws?logs=10", elsewhere);
    await client.until(1);
    await api.clock.advance(10_000);
    expect(await client.closed).toBe(1008);
    expect(client.frames).toEqual([
      ["auth", false],
      ["auth", "Too slow, sorry"],
    ]);
  });

  it("takes an account by HTTP Basic, but not from a page of another site", async () => {
    const api = await start({ config: { account } });
    const basic = (password: string) => ({
      ...elsewhere,
      Authorization: `Basic ${Buffer.from(`operator:${password}`).toString("base64")}`,
    });
    expect(await connect(api, "/ws", basic("correct horse")).until(1)).toEqual([["auth", true]]);
    expect(await connect(api, "/ws", { ...basic("correct horse"), Origin: "https://elsewhere.example" }).until(1)).toEqual([
      ["auth", false],
    ]);
    expect(await refused(api, "/ws", basic("wrong"))).toBe(401);
  });

  it("takes a bearer token, from other sites' pages too, and keeps the log from one that may only read", async () => {
    const api = await start({ config: { account } });
    const bearer = async (scope: "read" | "operate") => {
      const { text } = await api.parts.apiTokens.create({ name: scope, scope });
      return { ...elsewhere, Origin: "https://dashboard.example", Authorization: `Bearer ${text}` };
    };
    api.parts.log.write("INFO", "for operators");
    const [operator, reader] = [connect(api, "/ws?logs=1", await bearer("operate")), connect(api, "/ws?logs=1", await bearer("read"))];
    expect((await operator.until(2))[1]?.[0]).toBe("log");
    await reader.until(1);
    api.parts.log.write("INFO", "for operators, too");
    await api.clock.advance(20);
    await operator.until(3);
    expect([reader.frames, operator.frames.length]).toEqual([[["auth", true]], 3]);
    expect(await refused(api, "/ws", { ...elsewhere, Authorization: "Bearer wrong" })).toBe(401);
  });

  it("does not take a foreign page on this machine for a local program", async () => {
    const api = await start();
    const own = `http://127.0.0.1:${api.port}`;
    expect(await connect(api, "/ws", { Origin: own }).until(1)).toEqual([["auth", true]]);
    const strangers: Record<string, string>[] = [{ Origin: "https://elsewhere.example" }, { Origin: "null" }, { Host: "rebound.example" }];
    for (const headers of strangers) expect([headers, await connect(api, "/ws", headers).until(1)]).toEqual([headers, [["auth", false]]]);
  });

  it("is nowhere else, and says so", async () => {
    const api = await start();
    expect(await refused(api, "/api")).toBe(404);
    const wrong = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    expect((await rawClient(api.port, wrong).closed).toString()).toMatch(/^HTTP\/1\.1 400 /);
  });

  it("loses events for a reader that takes nothing, and goes on for the others", async () => {
    const api = await start();
    const slow = connect(api, "/ws?logs=0");
    const quick = connect(api, "/ws?logs=0");
    await Promise.all([slow.until(1), quick.until(1)]);
    slow.socket.pause();
    const filler = "x".repeat(50_000);
    for (let round = 0; round < 300; round++) {
      for (let at = 0; at < 2; at++) api.parts.log.write("INFO", filler);
      await api.clock.advance(20);
      await quick.until(1 + (round + 1) * 2);
    }
    slow.socket.resume();
    api.parts.log.write("INFO", "the end");
    await api.clock.advance(20);
    await quick.until(602);
    await expect
      .poll(async () => {
        api.parts.log.write("INFO", "again");
        await api.clock.advance(20);
        return JSON.stringify(slow.frames.at(-1));
      })
      .toContain('"again"');
    expect(slow.frames.length).toBeLessThan(602);
  });
});
