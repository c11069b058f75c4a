import { Agent } from "node:http";
import { readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { join, startApi } from "../support/api-server.ts";

type Exchange = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  readonly status: number;
  readonly contentType: string | null;
  readonly twoLineBreaks: boolean;
  readonly reply: Record<string, unknown>;
};

const golden = (name: string): readonly Exchange[] =>
  JSON.parse(readFileSync(new URL(`../fixtures/golden/api/${name}.json`, import.meta.url), "utf8")).exchanges;

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const account = { admin: { password: md5("secret") } };
const configured = {
  config: { accesslog: "LOG" },
  account,
  streams: {
    live: { source: "push://" },
    resumable: { source: "push://", resume: 1 },
    vod: { source: "/dev/null" },
    wild: { source: "push://" },
  },
};

/** As in the recordings: two live streams with their publishers; four viewers of one of them. */
async function busyApi() {
  const api = await startApi({
    config: configured,
    streams: {
      live: { lastMs: 23_343, unix: 1_795_362_445, tracks: 3, health: { tracks: ["a"], issues: "x" } },
      "wild+one": { lastMs: 13_343, unix: 1_795_362_455, tracks: 3, health: { tracks: ["a"] } },
    },
  });
  const connections = [
    await join(api.sessions, { stream: "live", type: "input", protocol: "INPUT:RTMP", token: "1" }),
    await join(api.sessions, { stream: "wild+one", type: "input", protocol: "INPUT:RTMP", token: "2" }),
  ];
  for (const protocol of ["FLV", "HLS", "HTTPTS", "RTMP"])
    connections.push(await join(api.sessions, { stream: "live", protocol, token: protocol }));
  for (let second = 0; second < 10; second++) {
    for (const connection of connections) connection.count(1000, 10);
    await api.clock.advance(1000);
  }
  return api;
}

/** The shape of a value: what volatile values are made of. */
const shape = (value: unknown): unknown => {
  if (Array.isArray(value))
    return value.length === 0 ? [] : [...new Set(value.filter((item) => !trimmed(item)).map((item) => JSON.stringify(shape(item))))].sort();
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shape(item)]));
  return value === null ? "null" : typeof value;
};
const trimmed = (value: unknown): boolean => typeof value === "string" && value.includes("entries total");

/** Everything of a reply that can be equal: `authorize` and LTS too. */
const stable = ({ config: _config, log: _log, streams: _streams, ...rest }: Record<string, unknown>): unknown => rest;

describe("recorded exchanges, answer equal but for volatile values", () => {
  it.each(["addstream", "deletestream"])("%s", async (name) => {
    await using api = await startApi({ config: configured });
    for (const exchange of golden(name)) {
      const answer = await api.ask(exchange);
      expect([answer.status, answer.headers["content-type"], answer.text.endsWith("}\n\n")]).toEqual([200, "text/javascript", true]);
      if (exchange.body?.includes('"streams"')) continue;
      expect(answer.json, exchange.body ?? "").toEqual(exchange.reply);
    }
  });

  it("streams", async () => {
    await using api = await startApi({ config: configured });
    const [exchange] = golden("streams");
    const expected = JSON.parse(JSON.stringify(exchange?.reply).replace("/media/vod.mp4", "/dev/null"));
    expect((await api.ask(exchange ?? {})).json).toEqual(expected);
  });

  it.each(["invalidate_sessions", "stop_sessid", "stop_tag-ua"])("%s adds no member", async (name) => {
    await using api = await startApi({ config: configured });
    for (const exchange of golden(name)) expect((await api.ask(exchange)).json).toEqual(exchange.reply);
  });

  it("active_streams: names, fields, objects, filters", async () => {
    await using api = await busyApi();
    for (const exchange of golden("active_streams")) {
      const answer = await api.ask(exchange);
      const [mine, theirs] = [answer.json["active_streams"], exchange.reply["active_streams"]];
      if (Array.isArray(theirs)) expect(mine).toEqual(theirs);
      else expect(Object.keys(mine as object).sort()).toEqual(Object.keys(theirs as object).sort());
      const fields = (value: unknown): readonly string[] | undefined =>
        (value as { fields?: readonly string[] }).fields?.filter((field) => !trimmed(field));
      expect(fields(mine)?.slice(0, fields(theirs)?.length)).toEqual(fields(theirs));
    }
    expect(
      await api.call({
        active_streams: ["viewers", "inputs", "outputs", "status", "tracks", "firstms", "lastms", "zerounix", "tags", "bogus"],
      }),
    ).toMatchObject({
      active_streams: {
        live: [4, 1, 0, "Online", 3, 0, 23_343, 1_795_362_445, null, null],
        "wild+one": [0, 1, 0, "Online", 3, 0, 13_343, 1_795_362_455, null, null],
      },
    });
    expect(await api.call({ active_streams: { stream: "live", longform: true } })).toMatchObject({
      active_streams: { live: { status: "Online", viewers: 4, health: { issues: "x" }, pid: [process.pid] } },
    });
  });

  it("stats_streams", async () => {
    await using api = await busyApi();
    for (const exchange of golden("stats_streams")) expect((await api.ask(exchange)).json).toEqual(exchange.reply);
  });

  it("clients: same fields in the same order; unlike the reference, an absent time means now", async () => {
    await using api = await busyApi();
    for (const exchange of golden("clients")) {
      const answer = await api.ask(exchange);
      const [mine, theirs] = [answer.json["clients"], exchange.reply["clients"]];
      type Answer = { readonly fields: unknown; readonly data: readonly unknown[] | null };
      const list = (value: unknown): readonly Answer[] => (Array.isArray(value) ? value : [value as Answer]);
      expect(list(mine).map(({ fields }) => fields)).toEqual(list(theirs).map(({ fields }) => fields));
    }
    const rows = (
      (await api.call({ clients: { fields: ["protocol", "stream", "conntime", "up", "down"] } }))["clients"] as { data: unknown[] }
    ).data;
    expect(rows).toHaveLength(6);
    expect(rows).toContainEqual(["live", "FLV", expect.any(Number), 100, 10_000]);
    expect((await api.call({ clients: { protocols: ["INPUT"], fields: ["stream"] } }))["clients"]).toMatchObject({
      data: [["live"], ["wild+one"]],
    });
    expect((await api.call({ clients: { streams: ["wild"], fields: ["stream"] } }))["clients"]).toMatchObject({ data: [["wild+one"]] });
    expect((await api.call({ clients: { streams: ["nope"] } }))["clients"]).toMatchObject({ data: null });
    expect((await api.call({ clients: { time: -100 } }))["clients"]).toMatchObject({ data: null });
    expect((await api.call({ clients: { time: -4, streams: ["wild"], fields: ["conntime"] } }))["clients"]).toMatchObject({ data: [[6]] });
  });

  it("totals: rows, interval and nulls", async () => {
    await using api = await busyApi();
    for (const exchange of golden("totals")) {
      // Recorded with Unix times of that day.
      if (exchange.body?.includes("17953624")) continue;
      const answer = await api.ask(exchange);
      expect(shape(answer.json["totals"]), exchange.body ?? "").toEqual(shape(exchange.reply["totals"]));
    }
    expect(await api.call({ totals: { streams: ["live"], fields: ["clients", "upbps"], start: -4, end: -2 } })).toMatchObject({
      totals: {
        data: [
          [4, 5000],
          [4, 5000],
          [4, 5000],
        ],
        interval: [[2, 1]],
      },
    });
  });

  it("localhost without login", async () => {
    await using api = await startApi({ config: configured });
    for (const exchange of golden("localhost-no-auth")) {
      const answer = await api.ask(exchange);
      expect(stable(answer.json)).toEqual(stable(exchange.reply));
      expect(Object.keys(answer.json).sort()).toEqual(Object.keys(exchange.reply).sort());
    }
  });

  it("config and log have every member of the recording, in the same types", async () => {
    await using api = await startApi({ config: configured });
    api.parts.log.write("CONF", "Controller started");
    const [exchange] = golden("config-full");
    const answer = await api.ask(exchange ?? {});
    const [mine, theirs] = [answer.json["config"] as Record<string, unknown>, exchange?.reply["config"] as Record<string, unknown>];
    expect(Object.keys(mine).sort()).toEqual(Object.keys(theirs).sort());
    for (const key of [
      "sessionInputMode",
      "sessionOutputMode",
      "sessionStreamInfoMode",
      "sessionUnspecifiedMode",
      "sessionViewerMode",
      "tknMode",
      "accesslog",
      "defaultStream",
      "triggers",
      "trustedproxy",
    ]) {
      expect(mine[key], key).toEqual(theirs[key]);
    }
    expect(mine["protocols"]).toEqual([
      { connector: "HTTP", interface: "0.0.0.0", port: 8080, online: 1 },
      { connector: "RTMP", interface: "0.0.0.0", port: 1935, online: 1 },
      { connector: "FLV", online: "Enabled" },
      { connector: "HLS", online: "Enabled" },
    ]);
    const lines = answer.json["log"] as unknown[][];
    expect(lines.at(-1)).toEqual([expect.any(Number), "CONF", "Controller started", "", process.pid, "sluice", ""]);
  });

  it("config.triggers: replaced as a whole, read back exactly", async () => {
    await using api = await startApi({ config: configured });
    for (const exchange of golden("config-triggers")) {
      const answer = await api.ask(exchange);
      const [mine, theirs] = [answer.json["config"], exchange.reply["config"]].map(
        (config) => (config as Record<string, unknown>)["triggers"] ?? null,
      );
      expect(mine).toEqual(theirs);
    }
  });

  it("api_endpoint and protocols", async () => {
    await using api = await startApi({ config: configured });
    for (const exchange of golden("addprotocol-deleteprotocol")) {
      const { api_endpoint: endpoint, ...rest } = (await api.ask(exchange)).json;
      const { api_endpoint: theirs, ...expected } = exchange.reply;
      expect(rest).toEqual(expected);
      // Better: the reference answers `http://:0/`.
      if (theirs !== undefined) expect(endpoint).toBe(`http://127.0.0.1:${api.port}/`);
    }
  });
});

describe("capabilities", () => {
  it("have the recording's members, as far as Sluice has something to tell", async () => {
    const file = new URL("../fixtures/golden/api/capabilities.json", import.meta.url);
    const theirs = JSON.parse(readFileSync(file, "utf8")) as {
      readonly keys: readonly string[];
      readonly connectorKeys: Readonly<Record<string, readonly string[]>>;
      readonly machine: Readonly<Record<string, unknown>>;
    };
    await using api = await startApi();
    const { capabilities } = (await api.call({ capabilities: true })) as { capabilities: Record<string, Record<string, unknown>> };
    expect(Object.keys(capabilities).sort()).toEqual(theirs.keys);
    // `exceptions`, `forward`, `push_*` and `url_prefix` are about MistServer's processes and pushes out.
    const told = ["codecs", "deps", "desc", "friendly", "methods", "name", "optional", "url_rel", "version"];
    const hls = capabilities["connectors"]?.["HLS"] as Record<string, unknown>;
    expect(Object.keys(hls)).toEqual(expect.arrayContaining(told.filter((key) => theirs.connectorKeys["HLS"]?.includes(key))));
    for (const part of ["cpu", "mem", "load"]) expect(shape(capabilities[part])).toEqual(shape(theirs.machine[part]));
  });
});

describe("recorded logins", () => {
  /** Puts our challenge's answer where the recording has the answer to its own. */
  const right = "b26e138b849b7ac73e78a8f4af9b5db1";
  const replay = async (name: string) => {
    await using api = await startApi({ config: configured });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const first = await api.ask({ path: "/api2", headers: { "X-Forwarded-For": "203.0.113.9" }, body: "{}" }, agent);
    const { challenge } = first.json["authorize"] as { challenge: string };
    const answered = (text: string): string => text.replaceAll(right, md5(md5("secret") + challenge));
    const results = [];
    for (const exchange of golden(name)) {
      const headers = Object.fromEntries(Object.entries(exchange.headers).map(([key, value]) => [key, answered(value)]));
      const by = name === "authorize-header" ? new Agent() : agent;
      const answer = await api.ask({ ...exchange, headers, body: exchange.body === null ? null : answered(exchange.body) }, by);
      if (by !== agent) by.destroy();
      results.push({ exchange, answer });
    }
    agent.destroy();
    return results;
  };
  const withoutChallenge = (reply: unknown): unknown =>
    JSON.parse(JSON.stringify(reply).replace(/"challenge":"[0-9a-f]{32}"/, '"challenge":""'));

  it("challenge, login that holds for the connection, logout", async () => {
    for (const { exchange, answer } of await replay("authorize-challenge"))
      expect(withoutChallenge(answer.json)).toEqual(withoutChallenge(exchange.reply));
  });

  it("the header; unlike the reference a wrong one is answered, and echoes nothing", async () => {
    const [good, wrong, basic] = await replay("authorize-header");
    expect(good?.answer.json).toEqual(good?.exchange.reply);
    expect(wrong?.answer.status).toBe(403);
    expect(Number(wrong?.answer.headers["content-length"])).toBe(wrong?.answer.text.length);
    expect(wrong?.answer.headers["www-authenticate"]).toMatch(/^json \{"status":"CHALL","challenge":"[0-9a-f]{32}"\}$/);
    expect(withoutChallenge(basic?.answer.json)).toEqual(withoutChallenge(basic?.exchange.reply));
  });

  it("wrong ones; unlike the reference the sixth has to wait", async () => {
    const results = await replay("authorize-wrong");
    for (const [index, { exchange, answer }] of results.entries()) {
      const { error, ...authorize } = answer.json["authorize"] as Record<string, unknown>;
      expect(withoutChallenge({ authorize })).toEqual(withoutChallenge(exchange.reply));
      expect(error !== undefined, String(index)).toBe(index >= 5);
    }
  });
});
