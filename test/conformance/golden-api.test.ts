import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type Answer, differences, type Exchange, recorded, replay, type Rule } from "../support/golden-api.ts";
import { openRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { sampleMedia } from "../support/media.ts";
import { get, hlsSegments, type HttpViewer, view } from "../support/viewer.ts";

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

/** The connectors of the recording; three of its fifteen were not written down. */
const connectors = [
  { connector: "HTTP", interface: "127.0.0.1", port: 8080 },
  { connector: "RTMP", interface: "127.0.0.1", port: 1935 },
  { connector: "TSSRT", interface: "127.0.0.1", port: 8889 },
  { connector: "DTSC", interface: "127.0.0.1", port: 4200 },
  ...["FLV", "HLS", "CMAF", "MP4", "HTTPTS", "EBML", "JSON", "AAC", "MP3", "H264", "SUBRIP"].map((connector) => ({ connector })),
];

const isText = (value: unknown): boolean => typeof value === "string";
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;

/** Each place where our answer is another one, with the reason. What no rule names is equal. */
const rules: readonly Rule[] = [
  { at: /^authorize\.challenge$/, is: (mine) => /^[0-9a-f]{32}$/.test(String(mine)), because: "a challenge is made anew" },
  {
    at: /^authorize\.error$/,
    is: (mine) => mine === undefined || /again in \d+ seconds/.test(String(mine)),
    because: "the sixth wrong login has to wait, and is told so",
  },
  {
    at: /^api_endpoint$/,
    is: (mine) => /^http:\/\/127\.0\.0\.1:\d+\/$/.test(String(mine)),
    because: "MistServer's `http://:0/` is a fault",
  },
  { at: /^config\.(iid|version)$/, is: "type", because: "another server" },
  { at: /^config\.time$/, is: "type", because: "another time" },
  { at: /^config\.controller\.port$/, is: "type", because: "a free port" },
  {
    at: /^config\.protocols\.([01])\.online$/,
    is: (mine) => mine === 1,
    because: "one recording was made while its connectors were starting",
  },
  {
    at: /^config\.protocols\.(2|3|[6-9]|10|11)\.online$/,
    is: (mine) => mine === "Not installed",
    because: "connectors that Sluice does not have (yet)",
  },
  {
    at: /^config\.triggers$/,
    is: (mine, theirs) => JSON.stringify(sorted(mine)) === JSON.stringify(sorted(theirs ?? null)),
    because: "MistServer leaves `triggers` out of the one answer that resets it; here it is null there, as in each later answer",
  },
  {
    at: /^log$/,
    is: (mine) =>
      Array.isArray(mine) &&
      mine.length > 0 &&
      mine.length <= 100 &&
      mine.every((line: unknown) => {
        const [unix, kind, message, stream, pid, program, at] = line as unknown[];
        return isNumber(unix) && isNumber(pid) && [kind, message, stream, program, at].every(isText) && (line as unknown[]).length === 7;
      }),
    because: "other lines, of the same shape: [unix, kind, message, stream, pid, program, line]",
  },
  { at: /^streams\.vod\.source$/, is: "type", because: "another folder" },
];

type Check = (mine: unknown, theirs: unknown) => boolean;
const isPids: Check = (mine) => Array.isArray(mine) && mine.length === 1 && isNumber(mine[0]);

/** Fields of `active_streams` that are another run's, or right where MistServer's are not. The others are equal. */
const likely: Readonly<Record<string, Check>> = {
  viewseconds: isNumber,
  upbytes: isNumber,
  downbytes: isNumber,
  lastms: isNumber,
  zerounix: isNumber,
  firstms: isNumber, // always 0 there
  tracks: (mine, theirs) => mine === Number(theirs) - 1, // MistServer adds a track `meta_JSON` of its own
  pid: isPids,
  sourcepids: isPids,
  health: (mine, theirs) => sameHealth(mine, theirs),
};

/** Of the stream that is watched. */
const exact: Readonly<Record<string, Check>> = {
  viewers: (mine) => mine === 4, // MistServer's lag by 15 s
  clients: (mine) => mine === 5,
};

describe("the recorded exchanges of MistServer's JSON API, answered by a running server", () => {
  let sluice: Sluice;
  const encoders: Child[] = [];
  const viewers: HttpViewer[] = [];
  const closers: AsyncDisposable[] = [];
  let polling: NodeJS.Timeout;
  let hlsUrl = "";
  const used = new Set<Rule>();

  beforeAll(async () => {
    const vod = await sampleMedia({ video: "h264", audio: "aac", seconds: 2, container: "mp4" });
    sluice = await startSluice({
      config: {
        account: { admin: { password: md5("secret") } },
        config: {
          accesslog: "LOG",
          controller: { interface: "127.0.0.1", port: 4242, username: "root" },
          prometheus: "metrics",
          protocols: connectors,
          serverid: "peer-mist",
        },
        streams: {
          live: { source: "push://" },
          resumable: { source: "push://", resume: 1 },
          vod: { source: vod },
          wild: { source: "push://" },
        },
      },
    });
  });
  afterAll(async () => {
    clearInterval(polling);
    for (const viewer of viewers) viewer[Symbol.dispose]();
    for (const closer of closers) await closer[Symbol.asyncDispose]();
    for (const encoder of encoders) await encoder.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  /** Replays an exchange and holds what every answer has in common. */
  async function ask(exchange: Exchange, agent?: Agent): Promise<Answer> {
    const answer = await replay(sluice.ports.api, exchange, agent);
    if (exchange.contentType !== null) {
      expect(answer.status).toBe(exchange.status);
      expect(answer.headers["content-type"]).toBe(exchange.contentType);
      expect(/[^\n]\n\n$/.test(answer.text)).toBe(exchange.twoLineBreaks);
    }
    return answer;
  }
  async function same(name: string, more: readonly Rule[] = [], change = (exchange: Exchange): Exchange => exchange): Promise<void> {
    for (const exchange of recorded(name).map(change)) {
      const answer = await ask(exchange);
      expect(differences(answer.json, exchange.reply, [...more, ...rules], used), `${exchange.path} ${exchange.body}`).toEqual([]);
    }
  }

  describe("with nothing that plays", () => {
    it.each(["localhost-no-auth", "streams", "config-full", "addprotocol-deleteprotocol"])("%s", (name) => same(name));

    it.each(["addstream", "deletestream"])("%s", (name) => same(name));

    it("config-triggers", () => same("config-triggers"));

    it.each(["authorize-challenge", "authorize-wrong"])("%s", async (name) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const right = await loginFor(name === "authorize-wrong" ? "203.0.113.10" : "203.0.113.9");
      for (const exchange of recorded(name)) {
        const headers = name === "authorize-wrong" ? { ...exchange.headers, "X-Forwarded-For": "203.0.113.10" } : exchange.headers;
        const answer = await ask({ ...exchange, headers, body: exchange.body?.replace(recordedLogin, right) ?? null }, agent);
        expect(differences(answer.json, exchange.reply, rules, used), exchange.body ?? exchange.path).toEqual([]);
      }
      agent.destroy();
    });

    it("authorize-header; a wrong one is answered, where MistServer's client waits for ever", async () => {
      const right = await loginFor("203.0.113.9");
      const [good, wrong, basic] = recorded("authorize-header").map((exchange) => ({
        ...exchange,
        headers: { ...exchange.headers, Authorization: exchange.headers["Authorization"]?.replace(recordedLogin, right) ?? "" },
      }));
      if (!good || !wrong || !basic) throw new Error("three exchanges were recorded");
      expect(differences((await ask(good)).json, good.reply, rules, used)).toEqual([]);
      const refused = await replay(sluice.ports.api, wrong);
      expect([refused.status, refused.text]).toEqual([403, "Not authorized\n"]);
      expect(differences((await ask(basic)).json, basic.reply, rules, used)).toEqual([]);
      expect(refused.headers["www-authenticate"]).toMatch(/^json \{"status":"CHALL","challenge":"[0-9a-f]{32}"\}$/);
    });

    it("capabilities have the recorded members; connectors those that Sluice has something for", async () => {
      const { capabilities } = (await sluice.api({ capabilities: true })) as { capabilities: Record<string, Record<string, unknown>> };
      const { keys, connectorKeys, machine } = recordedCapabilities;
      expect(Object.keys(capabilities).toSorted()).toEqual(keys);
      const absent = ["exceptions", "forward", "push_urls", "push_parameters", "incoming_push_url", "sort", "url_prefix", "url_match"];
      for (const [connector, members] of Object.entries(connectorKeys)) {
        const mine = capabilities["connectors"]?.[connector] as Record<string, unknown> | undefined;
        expect(Object.keys(mine ?? {}), connector).toEqual(expect.arrayContaining(members.filter((member) => !absent.includes(member))));
      }
      const anyNumber: Rule = { at: /./, is: "type", because: "another machine" };
      for (const part of ["cpu", "mem", "load"] as const)
        expect(differences(capabilities[part], machine[part], [{ ...anyNumber, at: /^(\d\.)?\w+$/ }], used), part).toEqual([]);
    });
  });

  describe("with two publishers and four viewers", () => {
    beforeAll(async () => {
      encoders.push(startEncoder(sluice.rtmp("live/live"), { size: "640x360", gop: 50 }));
      encoders.push(startEncoder(sluice.rtmp("live/wild+one"), { size: "320x180", gop: 50 }));
      const online = async (): Promise<unknown> => (await sluice.api({ active_streams: ["status"] }))["active_streams"];
      await vi.waitFor(async () => expect(await online()).toEqual({ live: ["Online"], "wild+one": ["Online"] }), 20_000);
      viewers.push(await view(sluice.http("live.flv?tkn=one"), { "User-Agent": "capviewer" }), await view(sluice.http("live.flv?tkn=two")));
      const { client } = await openRtmp(sluice.ports.rtmp, "live");
      closers.push(client);
      hlsUrl = sluice.http("hls/live/index.m3u8?tkn=hls");
      await hlsSegments(hlsUrl);
      polling = setInterval(() => void get(hlsUrl).catch(() => {}), 2000);
      // The recordings ask about the last five seconds, with all four there.
      const full = async (): Promise<unknown> =>
        ((await sluice.api({ totals: { streams: ["live"], fields: ["clients"], start: -6 } }))["totals"] as { data: unknown }).data;
      await vi.waitFor(async () => expect(await full()).toEqual([[4], [4], [4], [4], [4], [4]]), { timeout: 20_000, interval: 200 });
    }, 60_000);

    it("active_streams", async () => {
      for (const exchange of recorded("active_streams")) {
        const { active_streams: theirs, ...others } = exchange.reply;
        const { active_streams: mine, ...rest } = (await ask(exchange)).json;
        const words = exchange.body ?? "";
        expect(rest, words).toEqual(others);
        if (Array.isArray(theirs)) {
          expect(mine, words).toEqual(theirs);
          continue;
        }
        const [ours, wanted] = [tableOf(mine, exchange), tableOf(theirs, exchange)];
        expect(ours.form, words).toBe(wanted.form);
        expect(differences(ours.fields, wanted.fields, [], used), words).toEqual([]);
        expect(Object.keys(ours.rows).toSorted(), words).toEqual(Object.keys(wanted.rows).toSorted());
        for (const [stream, cells] of Object.entries(wanted.rows)) {
          const row = ours.rows[stream] ?? {};
          expect(Object.keys(row).toSorted(), words).toEqual(Object.keys(cells).toSorted());
          for (const [field, value] of Object.entries(cells)) {
            const right = (stream === "live" ? exact[field] : undefined) ?? likely[field] ?? ((one, other) => one === other);
            expect(
              right(row[field], value),
              `${words}: ${stream}.${field} is ${JSON.stringify(row[field])}, was ${JSON.stringify(value)}`,
            ).toBe(true);
          }
        }
      }
    });

    it("stats_streams", () => same("stats_streams", [{ at: /^stats_streams\.[a-z+]+\.1$/, is: "type", because: "media goes on" }]));

    it("clients; rows also without a time, where MistServer has none", async () => {
      const now = Math.floor(Date.now() / 1000);
      const types: Readonly<Record<string, string>> = { host: "string", stream: "string", protocol: "string", sessid: "string" };
      for (const exchange of recorded("clients")) {
        const answer = await ask({ ...exchange, body: exchange.body?.replace("1795362464", String(now - 3)) ?? null });
        const [mine, theirs] = [listOf(answer.json["clients"]), listOf(exchange.reply["clients"])] as unknown as readonly ClientsAnswer[][];
        expect(Array.isArray(answer.json["clients"])).toBe(Array.isArray(exchange.reply["clients"]));
        expect(mine?.map(({ fields }) => fields)).toEqual(theirs?.map(({ fields }) => fields));
        const empty = /"nope"|"wild\+"/.test(exchange.body ?? "");
        for (const { data, fields, time } of mine ?? []) {
          expect(time).toSatisfy(isNumber);
          expect(data === null, exchange.body ?? "").toBe(empty);
          for (const row of data ?? []) expect(row.map((value) => typeof value)).toEqual(fields.map((field) => types[field] ?? "number"));
        }
        const { data, fields } = mine?.[0] ?? { data: null, fields: [] };
        if (exchange.body === '{"clients": {"time": -5, "fields": ["stream", "protocol", "conntime", "up"]}}') {
          // As recorded, without its MPEG-TS over HTTP and SRT.
          const wanted = ["live FLV", "live FLV", "live HLS", "live INPUT:RTMP", "live RTMP", "wild+one INPUT:RTMP"];
          expect(fields).toEqual(theirs?.[0]?.fields);
          expect(data?.map(([stream, protocol]) => `${String(stream)} ${String(protocol)}`).toSorted()).toEqual(wanted);
        }
      }
    });

    it("totals; the second that is not over yet has no row, where MistServer's is always too low", async () => {
      const now = Math.floor(Date.now() / 1000);
      for (const exchange of recorded("totals")) {
        const body = exchange.body?.replace("1795362458", String(now - 5)).replace("1795362462", String(now - 1)) ?? null;
        const answer = await ask({ ...exchange, body });
        const [mine, theirs] = [listOf(answer.json["totals"]), listOf(exchange.reply["totals"])] as unknown as readonly TotalsAnswer[][];
        expect(Array.isArray(answer.json["totals"])).toBe(Array.isArray(exchange.reply["totals"]));
        expect(mine).toHaveLength(theirs?.length ?? 0);
        for (const [at, other] of (theirs ?? []).entries()) {
          const { fields, data, start, end, interval } = mine?.[at] ?? other;
          expect(fields, body ?? "").toEqual(other.fields);
          expect(data === null, body ?? "").toBe(other.data === null);
          if (data === null || start === null || end === null) {
            expect([data, start, end, interval]).toEqual([null, null, null, null]);
            continue;
          }
          expect(data).toHaveLength(end - start + 1);
          expect(interval).toEqual([[end - start, 1]]);
          expect(data.flat().every(isNumber)).toBe(true);
          expect(data.every((row) => row.length === fields.length)).toBe(true);
          expect(end).toBeLessThan(Math.floor(Date.now() / 1000));
          // As many rows as there, but for the unfinished second.
          if (/"start": -\d/.test(body ?? "") && !/"end": -/.test(body ?? "")) {
            const wanted = (other.data?.length ?? 0) - 1;
            expect([wanted, wanted + 1], body ?? "").toContain(data.length);
          }
          const column = (field: string): number[] => data.map((row) => row[fields.indexOf(field)] ?? -1);
          if (fields.includes("perc_lost"))
            expect([...column("perc_lost"), ...column("perc_retrans")].every((value) => value === 0)).toBe(true);
          const stream = /"(live|wild)"/.exec(body ?? "")?.[1];
          const clients = /"HLS"/.test(body ?? "") ? 1 : stream === "wild" ? 0 : 4;
          if (fields.includes("clients") && /"start": -/.test(body ?? ""))
            expect(new Set(column("clients")), body ?? "").toEqual(new Set([clients]));
        }
      }
    });

    it("invalidate_sessions: no member, and nobody who may watch is cut off", async () => {
      await same("invalidate_sessions");
      const before = viewers.map((viewer) => viewer.received());
      for (const [at, viewer] of viewers.entries()) await viewer.atLeast((before[at] ?? 0) + 1000);
    });

    it("stop_tag-ua: the viewer whose agent is named ends", async () => {
      const tags = async (): Promise<string> => JSON.stringify((await sluice.api({ clients: { fields: ["tags"] } }))["clients"]);
      await expect.poll(tags, { timeout: 20_000 }).toContain("UA:capviewer");
      await same("stop_tag-ua");
      await viewers[0]?.closed;
    }, 40_000);

    it("stop_sessid: that viewer ends, and no other", async () => {
      const { clients } = (await sluice.api({ clients: { protocols: ["FLV"], fields: ["sessid", "conntime"] } })) as {
        clients: ClientsAnswer;
      };
      const alive = String(clients.data?.at(-1)?.[1]);
      const recordedId = "2ac0f0c55b0042ef701c2ccd40635ed3ba2117489f70af94975d684f0c2eb97d";
      await same("stop_sessid", [], (exchange) => ({ ...exchange, body: exchange.body?.replace(recordedId, alive) ?? null }));
      await viewers[1]?.closed;
      const left = async (): Promise<unknown> =>
        ((await sluice.api({ active_streams: ["viewers"] }))["active_streams"] as Record<string, unknown[]>)["live"]?.[0];
      await expect.poll(left).toBe(2);
    });
  });

  it("needed every rule: none hides a difference that is not there", () => {
    expect(rules.filter((rule) => !used.has(rule)).map(({ at, because }) => `${at.source}: ${because}`)).toEqual([]);
  });

  async function loginFor(client: string): Promise<string> {
    const { json } = await replay(sluice.ports.api, { method: "GET", path: "/api2", headers: { "X-Forwarded-For": client }, body: null });
    return md5(md5("secret") + (json["authorize"] as { challenge: string }).challenge);
  }
});

/** The recorded answer to the recorded challenge. */
const recordedLogin = "b26e138b849b7ac73e78a8f4af9b5db1";

const recordedCapabilities = JSON.parse(readFileSync(new URL("../fixtures/golden/api/capabilities.json", import.meta.url), "utf8")) as {
  readonly keys: readonly string[];
  readonly connectorKeys: Readonly<Record<string, readonly string[]>>;
  readonly machine: Readonly<Record<"cpu" | "mem" | "load", unknown>>;
};

type ClientsAnswer = { readonly data: readonly (readonly unknown[])[] | null; readonly fields: readonly string[]; readonly time: number };
type TotalsAnswer = {
  readonly data: readonly (readonly number[])[] | null;
  readonly fields: readonly string[];
  readonly start: number | null;
  readonly end: number | null;
  readonly interval: unknown;
};

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return Array.isArray(value) ? value.map(sorted) : value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted()
      .map(([key, item]) => [key, sorted(item)]),
  );
}

/** An answer of `active_streams` in any of its forms but the list of names, as rows of named cells. */
function tableOf(
  value: unknown,
  { body }: Exchange,
): { readonly form: string; readonly fields: unknown; readonly rows: Readonly<Record<string, Readonly<Record<string, unknown>>>> } {
  const answer = value as Readonly<Record<string, unknown>>;
  const asked = (JSON.parse(body ?? "") as { active_streams: unknown }).active_streams;
  const named = (fields: readonly unknown[], rows: Readonly<Record<string, readonly unknown[]>>) =>
    Object.fromEntries(
      Object.entries(rows).map(([stream, row]) => {
        const cut = fields.findIndex((field) => String(field).startsWith("... trimmed"));
        const shown = cut < 0 ? fields : fields.slice(0, cut);
        return [stream, Object.fromEntries(shown.map((field, index) => [String(field), row[index]]))];
      }),
    );
  if (Array.isArray(asked)) return { form: "list of fields", fields: asked, rows: named(asked, answer as Record<string, unknown[]>) };
  if (!Array.isArray(answer["fields"])) return { form: "long", fields: [], rows: answer as Record<string, Record<string, unknown>> };
  const { data } = answer;
  // The recording shows the first twelve columns.
  const fields = answer["fields"].slice(0, 12);
  return {
    form: data === undefined ? "nothing" : "table",
    fields: answer["fields"],
    rows: named(fields, (data ?? {}) as Record<string, unknown[]>),
  };
}

/** The same facts of the same tracks, but for MistServer's own metadata track and the number of audio channels. */
function sameHealth(mine: unknown, theirs: unknown): boolean {
  const facts = (health: unknown): unknown =>
    sorted(
      Object.fromEntries(
        Object.entries(health as Readonly<Record<string, unknown>>)
          .filter(([name]) => !name.startsWith("meta_"))
          .map(([name, value]) => {
            const isTrack = typeof value === "object" && value !== null && !Array.isArray(value);
            return [
              name.replace(/_\dch_/, "_Nch_"),
              isTrack
                ? Object.entries(value)
                    .map(([key, fact]) => `${key}: ${typeof fact}`)
                    .toSorted()
                : typeof value,
            ];
          }),
      ),
    );
  const [ours, wanted] = [facts(mine), facts(theirs)];
  return JSON.stringify(ours) === JSON.stringify(wanted);
}
