import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pageUntil, startBrowser } from "../support/browser.ts";
import { startChild } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get } from "../support/viewer.ts";

/** Plays with hls.js; from the moment when \`window.fresh\` is set, its requests carry that token. */
const page = `(url) => {
  const video = document.createElement("video");
  video.muted = true;
  document.body.append(video);
  window.seen = { fatal: [], segments: [] };
  const Loader = Hls.DefaultConfig.loader;
  class Fresh extends Loader {
    load(context, ...more) {
      if (window.fresh) {
        const url = new URL(context.url, location.href);
        url.searchParams.set("tkn", window.fresh);
        context.url = url.href;
      }
      super.load(context, ...more);
    }
  }
  const hls = new Hls({ loader: Fresh });
  hls.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && seen.fatal.push(details));
  hls.on(Hls.Events.FRAG_BUFFERED, (_, { frag }) => seen.segments.push(frag.sn));
  window.video = video;
  hls.loadSource(url);
  hls.attachMedia(video);
  hls.on(Hls.Events.MANIFEST_PARSED, () => video.play());
}`;

/** Whoever watches may bring a fresh token to the session that goes on. */
describe("a fresh token for a running session", () => {
  const all = new AsyncDisposableStack();
  let sluice: Sluice;

  beforeAll(async () => {
    const config = `
      import { allow, deny } from "sluice";
      export default {
        triggers: {
          USER_NEW: ({ token, recheck, protocol }) => {
            console.error("ASKED", token, recheck, protocol);
            return token.startsWith("bad") ? deny("this token is of no use") : allow({ user: token.split("-")[0] });
          },
          USER_END: ({ sessionId }) => console.error("ENDED", sessionId),
        },
      };`;
    sluice = all.use(await startSluice({ config }));
    const encoder = all.use(startEncoder(sluice.rtmp("live/tv")));
    await encoder.printed(/frame=/);
  });
  afterAll(() => all.disposeAsync());

  const renew = (body: string | object, headers: Record<string, string> = {}, query = ""): Promise<Response> => {
    const form = typeof body === "string";
    const type = form ? "application/x-www-form-urlencoded" : "application/json";
    return fetch(sluice.http(`session/renew${query}`), {
      method: "POST",
      headers: { "content-type": type, ...headers },
      body: form ? body : JSON.stringify(body),
    });
  };
  const asked = (token: string): string[] => sluice.child.stderr().match(new RegExp(`ASKED ${token} .*`, "g")) ?? [];
  const sessions = async (): Promise<number> => {
    const reply = await sluice.api({ clients: { fields: ["host"], protocols: ["FLV"] } });
    return ((reply["clients"] as { data: unknown[] | null }).data ?? []).length;
  };

  it("comes by POST, as JSON, form or query; an FLV viewer misses not one packet", async () => {
    const file = join(sluice.folder, "viewer.flv");
    await using viewer = startChild("curl", ["-sSN", "-o", file, sluice.http("tv.flv?tkn=ann-1")]);
    await sluice.child.printed(/ASKED ann-1 false FLV/);
    const answers = [
      await renew({ stream: "tv", was: "ann-1", token: "ann-2" }),
      await renew("stream=tv&token=ann-3", { cookie: "tkn=ann-2" }),
      await renew("", {}, "?stream=tv&was=ann-3&token=ann-4"),
      await renew("stream=tv&was=ann-4", { authorization: "Bearer ann-5" }),
    ];
    for (const [at, answer] of answers.entries()) {
      expect(answer.status, await answer.clone().text()).toBe(200);
      expect(await answer.json()).toEqual({ sessionId: expect.stringMatching(/^[0-9a-f]{64}$/), expiresAt: null });
      expect(answer.headers.get("set-cookie")).toMatch(new RegExp(`^tkn=ann-${at + 2};`));
      expect(asked(`ann-${at + 2}`)).toHaveLength(1);
    }
    expect(await sessions()).toBe(1);
    // The media goes on, before and after: each frame is there, 40 ms after the one before it.
    const frames = async (): Promise<number[]> => {
      await using probe = startChild("ffprobe", [
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=dts_time",
        "-of",
        "csv=p=0",
        file,
      ]);
      await probe.exited;
      return (probe.stdout().match(/[\d.]+/g) ?? []).map((time) => Math.round(Number(time) * 1000));
    };
    const before = (await frames()).length;
    await expect.poll(async () => (await frames()).length, { timeout: 20_000 }).toBeGreaterThan(before + 50);
    const times = await frames();
    expect(times.slice(1).every((time, at) => time - (times[at] ?? 0) === 40)).toBe(true);
    expect(viewer.process.exitCode).toBe(null);
  });

  it("comes with the next playlist request; hls.js misses no segment", async () => {
    await using browser = await startBrowser();
    const tab = await browser.newPage();
    await tab.goto(sluice.http("json_tv.js?tkn=bob-1"));
    await tab.addScriptTag({ url: sluice.http("player/hls.js") });
    await tab.evaluate(`(${page})("${sluice.http("hls/tv/index.m3u8?tkn=bob-1")}")`);
    await pageUntil(tab, "window.video.currentTime > 2");
    await tab.evaluate('window.fresh = "bob-2"');
    const count = Number(await tab.evaluate("window.seen.segments.length"));
    await pageUntil(tab, `window.seen.segments.length > ${count + 3}`);
    const { fatal, segments } = (await tab.evaluate("window.seen")) as { fatal: string[]; segments: number[] };
    expect(fatal).toEqual([]);
    expect(segments).toEqual(segments.map((_, at) => (segments[0] ?? 0) + at));
    expect(asked("bob-2").map((line) => line.split(" ")[2])).toEqual(["true"]);
  });

  it("that is refused ends nothing; neither does one for a session that is not the sender's", async () => {
    const file = join(sluice.folder, "second.flv");
    await using viewer = startChild("curl", ["-sSN", "-o", file, sluice.http("tv.flv?tkn=cem-1")]);
    await sluice.child.printed(/ASKED cem-1 false FLV/);
    const bad = await renew({ stream: "tv", was: "cem-1", token: "bad-1" });
    expect([bad.status, (await bad.text()).split("\n")[0]]).toEqual([403, "this token is of no use"]);
    for (const [body, headers] of [
      [{ stream: "tv", token: "cem-2" }, {}],
      [{ stream: "tv", was: "cem-9", token: "cem-2" }, {}],
      [{ stream: "other", was: "cem-1", token: "cem-2" }, {}],
    ] as const)
      expect((await renew(body, headers)).status, JSON.stringify(body)).toBe(404);
    expect(viewer.process.exitCode).toBe(null);
    expect(asked("cem-2")).toEqual([]);
  });

  it.each([
    ["no stream", { token: "t" }, {}, 400, /`stream` is missing/],
    ["no new token, but a cookie", { stream: "tv" }, { cookie: "tkn=ann-5" }, 400, /`token` is missing/],
    ["a token that is no text", { stream: "tv", token: 7 }, {}, 400, /`token` must be a text/],
    ["a list", [], {}, 400, /must be an object/],
    ["text that is no JSON", "x", { "content-type": "application/json" }, 400, /is no JSON/],
    ["another form", "x", { "content-type": "text/plain" }, 415, /form \(application\/x-www-form-urlencoded\)/],
    ["too much", { stream: "x".repeat(20_000) }, {}, 413, /longer than 16384 bytes/],
  ])("%s is answered with what would be right", async (_, body, headers, status, words) => {
    const answer = await renew(body, headers as Record<string, string>);
    expect([answer.status, await answer.text()]).toEqual([status, expect.stringMatching(words)]);
  });

  it("may be brought by an embedded page of another site; a browser asks first for JSON", async () => {
    const origin = "https://shop.example";
    const headers = { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" };
    const first = await fetch(sluice.http("session/renew"), { method: "OPTIONS", headers });
    expect([first.status, first.headers.get("access-control-allow-origin"), first.headers.get("access-control-allow-credentials")]).toEqual(
      [204, origin, "true"],
    );
    expect(first.headers.get("access-control-allow-headers")).toBe("content-type");
    expect(first.headers.get("access-control-allow-methods")).toContain("POST");
    const answer = await renew({ stream: "tv", was: "nobody", token: "t" }, { origin });
    expect([
      answer.status,
      answer.headers.get("access-control-allow-origin"),
      answer.headers.get("access-control-allow-credentials"),
    ]).toEqual([404, origin, "true"]);
    expect((await get(sluice.http("session/renew"))).status).toBe(405);
  });
});
