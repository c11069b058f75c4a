import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TriggerName } from "../../src/triggers/table.ts";
import type { Child } from "../support/child.ts";
import { startEncoder } from "../support/encoder.ts";
import { freePort } from "../support/free-port.ts";
import { sampleMedia } from "../support/media.ts";
import { type MistScene, startMistScene } from "../support/mist-scene.ts";
import { openRtmp, tryRtmp } from "../support/rtmp-viewer.ts";
import { get, view } from "../support/viewer.ts";

/** What a MistServer's viewers were seen to get, by output. */
type Effect = { readonly path?: string; readonly plays: boolean; readonly text?: string };
type Output = "flv" | "hls" | "json" | "rtmp";
type Reply = { readonly status: number; readonly body: string; readonly delayMs?: number };
type Case = {
  readonly how: string;
  readonly asked: readonly { readonly body: string; readonly reply: Reply | null }[];
  readonly effect: Readonly<Partial<Record<Output, Effect>>>;
};
type Outcome = { readonly plays: boolean; readonly status: number };

const read = (name: string): Readonly<Record<string, Case>> =>
  JSON.parse(readFileSync(new URL(`../fixtures/golden/effects/${name}.json`, import.meta.url), "utf8")) as Record<string, Case>;
const folder = mkdtempSync(join(tmpdir(), "sluice-effects-"));

/** A shell script that can be a handler. */
function script(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Where we do better than the recording, and why. What is not here has the recorded effect. */
const better: Readonly<Record<string, Readonly<Partial<Record<Output, boolean>>>>> = {
  // A handler that cannot be asked lets nobody in; MistServer lets everybody in.
  "USER_NEW-down-default-unset": { flv: false },
  // The handler is given ten seconds, once: its no counts. MistServer asks five times, five seconds each, and then lets the viewer in.
  "USER_NEW-slow-8s": { flv: false },
  // RTMP's token counts, so the remembered no does too. In MistServer each RTMP connection is a new viewer.
  "USER_NEW-false-retry-same-token": { rtmp: false },
  // Stream information goes the way of all outputs. MistServer's looks at the state before the rewrite, and its player breaks.
  "PLAY_REWRITE-rewrite": { json: true },
  "PLAY_REWRITE-rewrite-configured-to-other": { json: true },
  // CONN_PLAY is about connections that play; what protects stream information is USER_NEW (weak-points).
};

/** The status of a refusal: 403 for a no, 404 for what is not there. MistServer says 404 to everything, and 200 over HLS. */
const refusal = (name: string): number => (/^(USER_NEW|CONN_OPEN|CONN_PLAY|PLAY_REWRITE-empty)/.test(name) ? 403 : 404);

describe("viewers get what they got in the recordings", () => {
  let scene: MistScene;
  let encoder: Child;

  beforeAll(async () => {
    const vod = await sampleMedia({ video: "h264", audio: "aac", seconds: 4, container: "mp4" });
    scene = await startMistScene(["STREAM_BUFFER"], {
      streams: { live: { source: "push://" }, wild: { source: "push://" }, vod: { source: vod } },
    });
    encoder = startEncoder(scene.sluice.rtmp("live/live"));
    await scene.asked.called("STREAM_BUFFER", (call) => call.lines[1] === "FULL");
  }, 60_000);
  afterAll(async () => {
    await encoder?.stop();
    await scene?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => scene.reset());

  const flv = async (path: string): Promise<Outcome> => {
    using viewer = await view(scene.sluice.http(path));
    if (viewer.status !== 200) return { plays: false, status: viewer.status };
    await viewer.atLeast(5_000);
    expect(viewer.start().toString("latin1", 0, 3)).toBe("FLV");
    return { plays: true, status: 200 };
  };
  const tries: Readonly<Record<Output, (path: string) => Promise<Outcome>>> = {
    flv,
    hls: async (path) => {
      const { status, text } = await get(scene.sluice.http(path));
      return { plays: status === 200 && text.includes("#EXT-X-STREAM-INF"), status };
    },
    json: async (path) => {
      const { status, text } = await get(scene.sluice.http(path));
      return { plays: status === 200 && "meta" in (JSON.parse(text) as object), status };
    },
    rtmp: async (path) => ({ plays: (await tryRtmp(scene.sluice.ports.rtmp, path)).plays, status: 0 }),
  };

  /** The address that was recorded for an output, or what it must have been. */
  function addressOf(output: Output, { asked, effect }: Case): string {
    const own = effect[output]?.path;
    if (own) return own;
    const lines = asked.map(({ body }) => body).find((body) => body.includes(output === "rtmp" ? "\nrtmp://" : "json_"));
    const url = lines?.split("\n").find((line) => /^(rtmp|http):/.test(line)) ?? "";
    const [name = "", query = ""] = (effect.flv?.path ?? "").split(".flv");
    if (output === "rtmp") return url.replace(/^rtmp:\/\/[^/]+\/live\//, "") || `${name}${query}r`;
    return url.replace(/^http:\/\/[^/]+\//, "") || `json_${name}.js`;
  }

  /** Lets the handler say what it said then, and every recorded output try. */
  async function relive(name: string, recorded: Case, trigger: TriggerName): Promise<Partial<Record<Output, Outcome>>> {
    const reply = recorded.asked[0]?.reply;
    scene.says[trigger] = async (call) => {
      const own =
        recorded.asked.find(({ body }) => body.includes(`\n${call.lines.at(-1)?.startsWith("http") ? "HTTP" : "?"}\n`))?.reply ?? reply;
      if (own?.delayMs) await new Promise((resolve) => setTimeout(resolve, own.delayMs));
      return own ? { status: own.status, body: own.body } : "true";
    };
    scene.mark();
    const outcomes: Partial<Record<Output, Outcome>> = {};
    for (const output of Object.keys(recorded.effect) as Output[]) outcomes[output] = await tries[output](addressOf(output, recorded));
    for (const [output, outcome] of Object.entries(outcomes) as [Output, Outcome][]) {
      const plays = better[`${name}`]?.[output] ?? recorded.effect[output]?.plays ?? false;
      expect([output, outcome.plays]).toEqual([output, plays]);
      if (outcome.plays || output === "rtmp") continue;
      // Stream information that is only offline is an answer like any other, as in MistServer.
      expect([output, outcome.status]).toEqual([output, output === "json" && refusal(name) === 404 ? 200 : refusal(name)]);
    }
    return outcomes;
  }

  /** The handler was asked with the recorded lines: equal to the byte for HTTP, session ids included. */
  function expectRecordedCalls(trigger: TriggerName, recorded: Case): void {
    const watched = (body: string): boolean => /\n(FLV|HLS)\nhttp/.test(body);
    // MistServer asks PLAY_REWRITE again with an empty stream name after an empty answer; nobody needs that.
    const theirs = recorded.asked.map(({ body }) => body).filter((body) => watched(body) && !body.startsWith("\n127"));
    const ours = scene.since(trigger).map(({ body }) => body.replaceAll(`:${scene.sluice.ports.http}/`, ":8080/"));
    const first = theirs.find((body) => body.includes("\nFLV\n"));
    if (first !== undefined) expect(ours).toContain(first);
    // One viewer is asked about once, on whatever protocol it comes next.
    expect(theirs).toEqual(expect.arrayContaining(ours.filter(watched)));
  }

  const whole = (trigger: TriggerName): Record<string, readonly unknown[]> =>
    scene.table({ [trigger]: [{ handler: scene.asked.url, sync: true, streams: [] }] });

  const plain = (["STREAM_LOAD", "CONN_PLAY", "PLAY_REWRITE", "DEFAULT_STREAM"] as const).flatMap((trigger) =>
    Object.entries(read(trigger)).map(([name, recorded]) => ({ trigger, name, recorded })),
  );
  it.each(plain)("$trigger-$name: $recorded.how", async ({ trigger, name, recorded }) => {
    await scene.configure(whole(trigger));
    await relive(`${trigger}-${name}`, recorded, trigger);
    if (name !== "offline-push-stream") expectRecordedCalls(trigger, recorded);
    // Its URL was recorded with a percent-encoded plus in lower case: ours gives the client's own.
    else expect(scene.since(trigger)[0]?.lines.slice(0, 4)).toEqual(["", "wild+off", "127.0.0.1", "FLV"]);
  });

  it("CONN_OPEN-deny: an HTTP viewer gets an answer (MistServer: a reset connection)", async () => {
    await scene.configure(whole("CONN_OPEN"));
    await relive(
      "CONN_OPEN-deny",
      { ...read("CONN_OPEN")["deny"]!, effect: { flv: { path: "live.flv?tkn=co1", plays: false } } },
      "CONN_OPEN",
    );
    expect(scene.since("CONN_OPEN").map(({ body }) => body)).toEqual(["live\n127.0.0.1\nFLV\n"]);
  });

  const userNew = read("USER_NEW");
  const alone = ["true", "empty-body", "slow-3s", "slow-8s"] as const;
  it.each(alone)("USER_NEW-%s", async (name) => {
    await scene.configure(whole("USER_NEW"));
    await relive(`USER_NEW-${name}`, userNew[name]!, "USER_NEW");
    expectRecordedCalls("USER_NEW", userNew[name]!);
    if (name === "slow-8s") expect(scene.since("USER_NEW")).toHaveLength(1);
  });

  it("USER_NEW-false, and again with the same tokens when the handler says yes: not asked", async () => {
    await scene.configure(whole("USER_NEW"));
    await relive("USER_NEW-false", userNew["false"]!, "USER_NEW");
    expectRecordedCalls("USER_NEW", userNew["false"]!);
    await relive("USER_NEW-false-retry-same-token", userNew["false-retry-same-token"]!, "USER_NEW");
    expect(scene.since("USER_NEW")).toEqual([]);
  });

  it("USER_NEW-boolean-parsing: the same words are a yes", async () => {
    await scene.configure(whole("USER_NEW"));
    const words = Object.entries(userNew["boolean-parsing"]!.effect as unknown as Record<string, boolean>);
    scene.says.USER_NEW = (call) => words[Number(call.lines[2]?.slice(1))]?.[0] ?? "";
    const outcomes = await Promise.all(words.map(async ([word], at) => [word, (await flv(`live.flv?tkn=b${at}`)).plays] as const));
    expect(Object.fromEntries(outcomes)).toEqual(Object.fromEntries(words));
  });

  it.each(["down-default-false", "down-default-unset"] as const)("USER_NEW-%s: no handler listens", async (name) => {
    const handler = `http://127.0.0.1:${await freePort()}/`;
    await scene.configure(scene.table({ USER_NEW: [{ handler, sync: true, ...(name === "down-default-false" && { default: "false" }) }] }));
    await relive(`USER_NEW-${name}`, userNew[name]!, "USER_NEW");
  });

  it("USER_NEW-array-config-form: handler, sync, streams in a list", async () => {
    await scene.configure(scene.table({ USER_NEW: [[scene.asked.url, true, []]] }));
    await relive("USER_NEW-array-config-form", userNew["array-config-form"]!, "USER_NEW");
    expectRecordedCalls("USER_NEW", userNew["array-config-form"]!);
  });

  it("USER_NEW-async-false: who is only told has no say", async () => {
    await scene.configure(scene.table({ USER_NEW: [{ handler: scene.asked.url, sync: false }] }));
    await relive("USER_NEW-async-false", userNew["async-false"]!, "USER_NEW");
    await scene.asked.called("USER_NEW", (call) => call.lines[2] === "as1");
  });

  it("USER_NEW-stream-filter-other: not called for streams that its filter leaves out", async () => {
    await scene.configure(scene.table({ USER_NEW: [{ handler: scene.asked.url, sync: true, streams: ["wild"] }] }));
    await relive("USER_NEW-stream-filter-other", userNew["stream-filter-other"]!, "USER_NEW");
    expect(scene.since("USER_NEW")).toEqual([]);
  });

  it("USER_NEW-two-handlers-false: both are asked, one no is enough", async () => {
    const at = (path: string) => ({ handler: `${scene.asked.url}${path}`, sync: true });
    await scene.configure(scene.table({ USER_NEW: [at("tA"), at("tB")] }));
    scene.says.USER_NEW = (call) => String(call.path !== "/tA");
    scene.mark();
    expect(await flv("live.flv?tkn=tw2")).toEqual({ plays: false, status: 403 });
    expect(scene.since("USER_NEW").map(({ path }) => path)).toEqual(["/tA", "/tB"]);
    expectRecordedCalls("USER_NEW", userNew["two-handlers-false"]!);
  });

  it.each([
    ["true", true],
    ["false", false],
  ] as const)("USER_NEW-exec-handler: prints %s; its exit code does not count", async (word, plays) => {
    await scene.configure(scene.table({ USER_NEW: [{ handler: script(`user-new-${word}.sh`, `echo ${word}; exit 1`), sync: true }] }));
    expect((await flv(`live.flv?tkn=exec-${word}`)).plays).toBe(plays);
  });

  it("USER_NEW-invalidate-recheck-false: all are cut off, the no is kept until the next invalidation", async () => {
    const { sluice, asked } = scene;
    await scene.configure(whole("USER_NEW"));
    using viewer = await view(sluice.http("live.flv?tkn=inv1"));
    await viewer.atLeast(5_000);
    expect((await get(sluice.http("hls/live/index.m3u8?tkn=inv2"))).status).toBe(200);
    const rtmp = await openRtmp(sluice.ports.rtmp, "live?tkn=inv3");
    expect(rtmp.outcome.plays).toBe(true);
    scene.says.USER_NEW = () => "false";
    scene.mark();
    await sluice.api({ invalidate_sessions: "live" });
    await Promise.all([viewer.closed, rtmp.client.closed]);
    await asked.called("USER_NEW", (call) => call.lines[2] === "inv2" && call.lines.length === 6);
    // As recorded, six lines each: the seventh only comes with the first question.
    const ours = scene.since("USER_NEW").filter(({ lines }) => /^inv\d/.test(lines[2] ?? ""));
    expect(ours.map(({ lines }) => lines.length)).toEqual([6, 6, 6]);
    delete scene.says.USER_NEW;
    expect((await flv("live.flv?tkn=inv1")).status).toBe(403);
    expect((await get(sluice.http("hls/live/index.m3u8?tkn=inv2"))).status).toBe(403);
    expect((await flv("live.flv?tkn=inv9")).plays).toBe(true);
    scene.mark();
    await sluice.api({ invalidate_sessions: "live" });
    expect((await flv("live.flv?tkn=inv1")).plays).toBe(true);
    expect(scene.since("USER_NEW").find(({ lines }) => lines[2] === "inv1")?.lines).toHaveLength(7);
  });
});
