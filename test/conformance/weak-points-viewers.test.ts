import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { openRtmp, tryRtmp } from "../support/rtmp-viewer.ts";
import { type Sluice, startSluice } from "../support/sluice.ts";
import { get, hlsSegments, view } from "../support/viewer.ts";

/**
 * What MistServer was seen to do badly (section 11 of the observations; the numbers are its items) and what happens here
 * instead: the viewers' part. Each test talks to a real server with a configuration of MistServer's shape.
 */
describe("weak points of MistServer that viewers meet", () => {
  let scene: MistScene;
  let sluice: Sluice;
  let encoder: Child;

  beforeAll(async () => {
    scene = await startMistScene(["STREAM_BUFFER", "USER_NEW", "USER_END", "DEFAULT_STREAM"], {
      streams: { live: { source: "push://" }, wild: { source: "push://" } },
    });
    sluice = scene.sluice;
    encoder = startEncoder(sluice.rtmp("live/live"));
    await scene.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  }, 60_000);
  afterAll(async () => {
    await encoder?.stop();
    await scene?.[Symbol.asyncDispose]();
  });
  afterEach(() => scene.reset());

  const userNew = (entry: Readonly<Record<string, unknown>>) => scene.configure(scene.table({ USER_NEW: [{ sync: true, ...entry }] }));
  const statusOf = async (path: string): Promise<number> => {
    using viewer = await view(sluice.http(path));
    return viewer.status;
  };
  const webSocket = (path: string): Promise<number | "open"> =>
    new Promise((resolve) => {
      const socket = new WebSocket(sluice.http(path).replace("http:", "ws:"));
      socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
      socket.on("open", () => resolve("open"));
      socket.on("error", () => {});
      socket.on("open", () => socket.close());
    });

  describe("1: a handler that fails lets nobody in", () => {
    it.each([403, 404, 500])("when it answers %d, whatever the body says", async (status) => {
      scene.says.USER_NEW = () => ({ status, body: "true" });
      expect(await statusOf(`live.flv?tkn=fails-${status}`)).toBe(403);
      // It is no answer about this viewer: as soon as the handler works, so does he.
      expect((await get(sluice.http(`live.flv?tkn=fails-${status}`))).text).toMatch(/try again/);
    });

    it("when nobody listens, or its file does not exist", async () => {
      await userNew({ handler: `http://127.0.0.1:${await freePort()}/` });
      expect(await statusOf("live.flv?tkn=refused")).toBe(403);
      await userNew({ handler: "/nonexistent/handler.sh" });
      expect(await statusOf("live.flv?tkn=missing")).toBe(403);
    });

    it("when it is silent: asked once, given up after ten seconds (not five times in 25)", async () => {
      scene.says.USER_NEW = () => new Promise(() => {});
      scene.mark();
      expect(await statusOf("live.flv?tkn=silent")).toBe(403);
      expect(scene.since("USER_NEW").map((call) => call.headers["x-attempt"])).toEqual(["1"]);
    });

    it("unless the operator says so by `default`", async () => {
      await userNew({ handler: `http://127.0.0.1:${await freePort()}/`, default: "true" });
      expect(await statusOf("live.flv?tkn=by-default")).toBe(200);
    });

    it("and who watches already is not touched by it", async () => {
      using viewer = await view(sluice.http("live.flv?tkn=watches"));
      await viewer.atLeast(5_000);
      scene.says.USER_NEW = () => ({ status: 500, body: "" });
      scene.mark();
      await sluice.api({ invalidate_sessions: "live" });
      await scene.asked.called("USER_NEW", (call) => call.lines[2] === "watches" && call.lines.length === 6);
      await viewer.atLeast(viewer.received() + 40_000);
    });
  });

  // There is no SRT yet; when it comes, its viewers pass the same gate as all (architecture, section 2).
  it("2: no output escapes USER_NEW, and each refusal is a 403 or a status, never a 200", async () => {
    const allowed = await hlsSegments(sluice.http("hls/live/index.m3u8?tkn=allowed"));
    const segment = new URL(allowed.segments[0]?.url ?? "");
    const media = new URL(segment.pathname.replace(/[^/]+$/, "index.m3u8"), segment);
    scene.says.USER_NEW = () => "false";
    const paths = [
      ...["live.flv", "hls/live/index.m3u8", media.pathname.slice(1), segment.pathname.slice(1)],
      ...["json_live.js", "info_live.js"],
    ];
    for (const [at, path] of paths.entries()) {
      const answer = await get(sluice.http(`${path}?tkn=refused-${at}`));
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.text).not.toMatch(/EXTINF|EXT-X-STREAM|H264|AAC|avc1|"meta"|codec/);
    }
    expect(await webSocket("live.flv?tkn=refused-ws")).toBe(403);
    expect(await tryRtmp(sluice.ports.rtmp, "live?tkn=refused-rtmp")).toEqual({
      plays: false,
      code: "NetStream.Play.Failed",
      description: expect.stringMatching(/^not allowed \(decision [0-9A-Z]{10}\)$/) as string,
    });
    // The page itself tells nothing of the stream, so it needs no question.
    expect((await get(sluice.http("live.html"))).text).not.toMatch(/H264|avc1/);
  });

  describe("3: what a client sends adds no line to a payload", () => {
    it("as a token over HTTP: line breaks are percent-encoded", async () => {
      scene.mark();
      expect(await statusOf("live.flv?tkn=a%0Ab%0D%0AFAKE")).toBe(200);
      const [call] = scene.since("USER_NEW");
      expect(call?.lines).toHaveLength(7);
      expect(call?.lines.slice(0, 5)).toEqual(["live", "127.0.0.1", "a%0Ab%0D%0AFAKE", "FLV", sluice.http("live.flv?tkn=a%0Ab%0D%0AFAKE")]);
    });

    it("as a token over RTMP, where a line break may stand as it is", async () => {
      scene.mark();
      expect((await tryRtmp(sluice.ports.rtmp, "live?tkn=r\nb\nFAKE")).plays).toBe(true);
      const [call] = scene.since("USER_NEW");
      expect(call?.lines).toHaveLength(7);
      expect([call?.lines[2], call?.lines[3]]).toEqual(["r%0Ab%0AFAKE", "RTMP"]);
    });

    it("as a stream name, over HTTP and RTMP", async () => {
      scene.mark();
      expect(await statusOf("nosuch+a%0Ab%0AFAKE.flv")).toBe(404);
      expect((await tryRtmp(sluice.ports.rtmp, "nosuch+a\nb\nFAKE")).plays).toBe(false);
      expect(scene.since("DEFAULT_STREAM").map(({ lines }) => [lines.length, lines[1], lines[3]])).toEqual([
        [5, "nosuch+abFAKE", "FLV"],
        [5, "nosuch+abFAKE", "RTMP"],
      ]);
    });
  });

  it("4: the token of `Authorization: Bearer` is whole", async () => {
    scene.mark();
    await get(sluice.http("json_live.js"), { Authorization: "Bearer idg123" });
    expect(scene.since("USER_NEW")[0]?.lines[2]).toBe("idg123");
  });

  it("10: 200 refusals with random tokens leave nothing behind: no session, no process, no USER_END", async () => {
    scene.says.USER_NEW = () => "false";
    const before = await sluice.api({ clients: {}, active_streams: {} });
    scene.mark();
    const statuses = await Promise.all(Array.from({ length: 200 }, (_, at) => statusOf(`live.flv?tkn=random-${at}`)));
    expect(new Set(statuses)).toEqual(new Set([403]));
    expect(scene.since("USER_NEW")).toHaveLength(200);
    const rows = ({ clients }: Record<string, unknown>): number => (clients as { data: unknown[] }).data.length;
    const viewers = ({ active_streams }: Record<string, unknown>): unknown => {
      const { fields, data } = active_streams as { fields: string[]; data: Record<string, unknown[]> };
      return data["live"]?.[fields.indexOf("viewers")];
    };
    const after = await sluice.api({ clients: {}, active_streams: {} });
    expect(rows(after)).toBeLessThanOrEqual(rows(before));
    expect(Number(viewers(after))).toBeLessThanOrEqual(Number(viewers(before)));
    const { pid } = sluice.child.process;
    expect(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()).toBe("");
    await sluice.api({ invalidate_sessions: "live" });
    expect(scene.since("USER_END").filter(({ lines }) => lines[0]?.startsWith("random-"))).toEqual([]);
    // The refusals were remembered, and are forgotten now.
    delete scene.says.USER_NEW;
    expect(await statusOf("live.flv?tkn=random-7")).toBe(200);
  });

  describe("11: RTMP viewers are viewers like all others", () => {
    it("their token counts: the same one over RTMP and FLV is one session and one USER_NEW", async () => {
      scene.mark();
      const rtmp = await openRtmp(sluice.ports.rtmp, "live?tkn=both");
      expect(rtmp.outcome.plays).toBe(true);
      expect(await statusOf("live.flv?tkn=both")).toBe(200);
      await rtmp.client[Symbol.asyncDispose]();
      expect(scene.since("USER_NEW").map(({ lines }) => lines.slice(2, 4))).toEqual([["both", "RTMP"]]);
      const end = await scene.asked.called("USER_END", (call) => call.lines[0] === "both", 30_000);
      expect([end.lines[1], end.lines[2]?.split(",").toSorted()]).toEqual(["live", ["FLV", "RTMP"]]);
    });

    it("a refused one is told so, and not asked about again when it comes back", async () => {
      scene.says.USER_NEW = () => "false";
      scene.mark();
      for (let at = 0; at < 3; at++) expect((await tryRtmp(sluice.ports.rtmp, "live?tkn=again")).code).toBe("NetStream.Play.Failed");
      expect(scene.since("USER_NEW")).toHaveLength(1);
    });

    it("and a no of CONN_OPEN is an answer over HTTP and RTMP, not a reset connection", async () => {
      await scene.configure(scene.table({ CONN_OPEN: [{ handler: scene.asked.url, sync: true }] }));
      scene.says.CONN_OPEN = () => "false";
      using viewer = await view(sluice.http("live.flv?tkn=conn"));
      await viewer.closed;
      expect([viewer.status, viewer.start().toString().split("\n", 1)[0]]).toEqual([403, "not allowed"]);
      expect((await tryRtmp(sluice.ports.rtmp, "live?tkn=conn")).description).toMatch(/^not allowed \(decision/);
    });
  });

  it("a page load is no second viewer: page, stream information and media are one USER_NEW", async () => {
    scene.mark();
    expect((await get(sluice.http("live.html"))).status).toBe(200);
    expect(scene.since("USER_NEW")).toEqual([]);
    const information = JSON.parse((await get(sluice.http("json_live.js"))).text) as { source: { url: string; type: string }[] };
    expect(scene.since("USER_NEW")).toHaveLength(1);
    for (const type of ["html5/application/vnd.apple.mpegurl", "flash/7"]) {
      const source = information.source.find((one) => one.type === type);
      expect(source, `${type} among ${JSON.stringify(information.source.map((one) => one.type))}`).toBeDefined();
      using viewer = await view(source?.url ?? "");
      expect(viewer.status).toBe(200);
    }
    expect(scene.since("USER_NEW")).toHaveLength(1);
  });

  it("an async handler's default is no answer: nobody is refused by who was only told", async () => {
    await userNew({ handler: scene.asked.url, sync: false, default: "false" });
    scene.says.USER_NEW = () => "true";
    expect(await statusOf("live.flv?tkn=only-told")).toBe(200);
    await scene.asked.called("USER_NEW", (call) => call.lines[2] === "only-told");
  });
});

/**
 * 12: The seventh line comes at the first question only, as MistServer's handlers know it (it is how an HTTP handler tells the two apart).
 * Functions are told by `recheck`, and their reason reaches the viewer on every protocol.
 */
describe("12: the reason of a refusal is the same on every protocol, and a second question says that it is one", () => {
  let sluice: Sluice;
  let encoder: Child;

  beforeAll(async () => {
    sluice = await startSluice({
      config: `
import { defineConfig, deny } from "sluice";
export default defineConfig({
  streams: { live: { source: "push://" } },
  triggers: {
    USER_NEW: ({ query, recheck }) => {
      if (recheck) return deny("your time is over");
      return query.user === "anna" || deny("please subscribe first");
    },
  },
});
`,
    });
    encoder = startEncoder(sluice.rtmp("live/live"));
    const online = async (): Promise<void> => expect(JSON.stringify(await sluice.api({ active_streams: ["status"] }))).toContain("Online");
    await vi.waitFor(online, { timeout: 20_000 });
  }, 60_000);
  afterAll(async () => {
    await encoder?.stop();
    await sluice?.[Symbol.asyncDispose]();
  });

  it("over FLV, HLS, stream information and RTMP", async () => {
    for (const path of ["live.flv", "hls/live/index.m3u8", "json_live.js"]) {
      const answer = await get(sluice.http(`${path}?user=eve`));
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.text).toContain("please subscribe first");
    }
    expect((await tryRtmp(sluice.ports.rtmp, "live?user=eve")).description).toMatch(/^please subscribe first \(decision/);
  });

  it("and when somebody who watched is asked about again", async () => {
    using viewer = await view(sluice.http("live.flv?user=anna&tkn=again"));
    await viewer.atLeast(5_000);
    await sluice.api({ invalidate_sessions: "live" });
    await viewer.closed;
    expect((await get(sluice.http("live.flv?user=anna&tkn=again"))).text).toContain("your time is over");
  });
});
